import { elsewhere } from '../istio/client.ts'
import type { Emission } from '../istio/emission.ts'
import { type Found, placedIdentity } from './finding.ts'

const nameOfClients = ({ client }: Emission): string =>
  client.namespace === elsewhere ? 'other namespaces' : `namespace ${client.namespace}`

/** Whether clients are not given what a finding's field is about at all. Looks at the routes once, however many findings there are. */
const sparing = ({ routes }: Emission): ((field: string) => boolean) => {
  const sparedByPart = new Map<string, boolean>()
  for (const { route, match, dropped } of routes) {
    const fields = [...route.destinations, ...route.mirrors].map(({ field }) => field)
    for (const part of [match?.field ?? route.field, ...fields])
      sparedByPart.set(part, dropped === 'source' && sparedByPart.get(part) !== false)
  }
  return (field) => {
    const steps = field.split('.')
    const around = steps.map((_, index) => sparedByPart.get(steps.slice(0, index + 1).join('.')))
    return around.includes(true) && !around.includes(false)
  }
}

/**
 * Of the findings for several clients each once. What does not concern all of them that it could is a warning, and says whom; so it is
 * where for some of them it is a mere warning.
 */
export const acrossClients = (emissions: readonly Emission[], lists: readonly (readonly Found[])[]): Found[] => {
  const [first = []] = lists
  if (lists.length === 1) return [...first]
  const keyOf = ({ finding }: Found) => placedIdentity(finding)
  const byKey = lists.map((list) => new Map(list.map((one) => [keyOf(one), one])))
  const keys = new Set(lists.flat().map(keyOf))
  const isSpared = emissions.map(sparing)
  return [...keys].map((key) => {
    const found = byKey.map((list) => list.get(key))
    const severe = found.map((one) => one !== undefined && one.finding.atMost === undefined)
    const one = found[Math.max(severe.indexOf(true), 0)] ?? (found.find((other) => other !== undefined) as Found)
    const isSame = emissions.every(
      (_, index) =>
        (found[index] !== undefined && severe[index] === severe.includes(true)) ||
        (found[index] === undefined && isSpared[index]?.(one.finding.field)),
    )
    if (isSame) return one
    const concerned = emissions.filter((_, index) =>
      severe.includes(true) ? severe[index] : found[index] !== undefined,
    )
    const problem = `${one.finding.problem} (for sidecars in ${concerned.map(nameOfClients).join(' and ')})`
    return { ...one, finding: { ...one.finding, problem, atMost: 'warn' } }
  })
}
