import { elsewhere } from '../istio/client.ts'
import type { Emission } from '../istio/emission.ts'
import { type Found, identity } from './finding.ts'

const nameOfClients = ({ client }: Emission): string =>
  client.namespace === elsewhere ? 'other namespaces' : `namespace ${client.namespace}`

/** Whether clients are not given what a finding is about at all. */
const isSpared = ({ routes }: Emission, field: string): boolean => {
  const about = routes.filter(({ route, match }) =>
    [match?.field ?? route.field, ...[...route.destinations, ...route.mirrors].map((one) => one.field)].some(
      (part) => field === part || field.startsWith(`${part}.`),
    ),
  )
  return about.length > 0 && about.every(({ dropped }) => dropped === 'source')
}

/** Of the findings for several clients each once. What does not concern all of them that it could is a warning, and says whom. */
export const acrossClients = (emissions: readonly Emission[], lists: readonly (readonly Found[])[]): Found[] => {
  const [first = []] = lists
  if (lists.length === 1) return [...first]
  const all = new Map(lists.flat().map((one) => [`${identity(one.finding)} ${one.finding.field}`, one]))
  const known = lists.map((list) => new Set(list.map(({ finding }) => `${identity(finding)} ${finding.field}`)))
  return [...all].map(([key, one]) => {
    const fine = emissions.some((emission, index) => !known[index]?.has(key) && !isSpared(emission, one.finding.field))
    if (!fine) return one
    const concerned = emissions.filter((_, index) => known[index]?.has(key)).map(nameOfClients)
    const problem = `${one.finding.problem} (for sidecars in ${concerned.join(' and ')})`
    return { ...one, finding: { ...one.finding, problem, atMost: 'warn' } }
  })
}
