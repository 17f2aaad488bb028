import type { NamespacedName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { elsewhere } from '../istio/client.ts'
import { emissionsFor } from '../istio/clients.ts'
import type { Emission } from '../istio/emission.ts'
import type { ClusterView } from '../view/view.ts'
import { exemptionFor, exemptionNote } from './exemption.ts'
import type { Action, Finding } from './finding.ts'
import { serviceRules, virtualServiceRules } from './index.ts'
import { actionFor } from './policy.ts'
import type { Context, Rule, VirtualServiceSubject } from './rule.ts'
import { isSelected, type VirtualHostBy, virtualHostBy, virtualServiceScope } from './virtual-host.ts'

/** A finding and what comes of it. */
export type Outcome = Finding & {
  action: Exclude<Action, 'off'>
  /** Why it does not refuse although its rule denies, for the reader. */
  note?: string
}

/** All that the rules have to say of an object, ordered by field. */
export type Verdict = {
  outcomes: readonly Outcome[]
  /** Whether it is a Service that is a virtual host, */
  isVirtualHost: boolean
  /** and counts as one without its owner having said so. */
  inferred: boolean
}

/** The circumstances of a request that bear on its verdict. */
export type Circumstances = Context & {
  /** Nothing is stored, and what is missing may be applied first. */
  dryRun: boolean
  /** A dry run of one who applies batches: what this object contradicts may change with it. */
  batch: boolean
  /** By which exemptions expire. */
  now: Date
}

export const isDenied = ({ outcomes }: Verdict): boolean => outcomes.some(({ action }) => action === 'deny')

const severity: readonly Action[] = ['off', 'audit', 'warn', 'deny']

const milder = <A extends Action>(a: A, b: A): A => (severity.indexOf(a) < severity.indexOf(b) ? a : b)

/** The same rule about the same thing: how a finding is recognised in the object before an update. */
const identity = ({ rule, about }: Finding): string => `${rule} ${about}`

/** A field's path as a text that sorts by the numbers in it. */
const sortKey = ({ field }: Finding): string => field.replace(/\d+/g, (digits) => digits.padStart(9, '0'))

type Found = { finding: Finding; action: Outcome['action'] }

const run = <S extends Context>(rules: readonly Rule<S>[], subject: S, actionOf: (rule: Rule<S>) => Action): Found[] =>
  rules.flatMap((rule) => {
    const action = actionOf(rule)
    if (action === 'off') return []
    return rule.check(subject).map((finding) => ({ finding: { ...finding, rule: rule.id }, action }))
  })

/** What comes of a finding: its own limit first, then the owners' exemptions, the object as it was before, the dry run. */
const outcomeOf = (
  { finding, action: configured }: Found,
  known: ReadonlySet<string>,
  object: NamespacedName,
  { dryRun, batch, policy, now }: Circumstances,
): Outcome => {
  const action = milder(configured, finding.atMost ?? 'deny')
  if (policy.enforcement === 'audit') return { ...finding, action: 'audit' }
  const exemption = exemptionFor(policy.exemptions, finding.rule, object, now)
  if (exemption !== undefined) return { ...finding, action: milder(action, 'warn'), note: exemptionNote(exemption) }
  if (action !== 'deny') return { ...finding, action }
  if (known.has(identity(finding))) return { ...finding, action: 'warn', note: 'it was so before' }
  if (dryRun && finding.missing && policy.dryRun.missing === 'warn') {
    return { ...finding, action: 'warn', note: 'refused unless the missing object is applied first' }
  }
  if (dryRun && finding.mismatch && (batch || policy.dryRun.mismatch === 'warn')) {
    return { ...finding, action: 'warn', note: 'refused unless the other object is changed as well' }
  }
  return { ...finding, action }
}

const settle = (
  found: readonly Found[],
  before: readonly Found[],
  object: NamespacedName,
  circumstances: Circumstances,
): Outcome[] => {
  // Only what would have been denied: what was a mere warning for an ordinary Service does not let a virtual host pass.
  const denied = before.filter((one) => milder(one.action, one.finding.atMost ?? 'deny') === 'deny')
  const known = new Set(denied.map(({ finding }) => identity(finding)))
  return found
    .map((one) => ({ key: sortKey(one.finding), outcome: outcomeOf(one, known, object, circumstances) }))
    .sort((a, b) => Number(a.key > b.key) - Number(a.key < b.key))
    .map(({ outcome }) => outcome)
}

/** The labels of a namespace; none where the view does not list it. */
const labelsOf = (namespace: string, view: ClusterView): ReadonlyMap<string, string> =>
  view.namespace(namespace)?.labels ?? new Map()

const findInService = (service: Service, circumstances: Circumstances): { found: Found[]; by: VirtualHostBy } => {
  const { policy, view } = circumstances
  const by = virtualHostBy(service, view, policy)
  const column = by === undefined ? 'other' : 'virtualHost'
  // Outside the mesh Istio's rules do not hold; taking somebody else's address is wrong everywhere.
  const inMesh = by !== undefined || isSelected(service.namespace, view)
  const found = run(serviceRules, { ...circumstances, service, isVirtualHost: by !== undefined }, (rule) =>
    inMesh || rule.kinds.includes('security')
      ? actionFor(policy, rule.id, column, labelsOf(service.namespace, view))
      : 'off',
  )
  return { found, by }
}

/** Judges a Service; `before` is the object that an update replaces. */
export const judgeService = (service: Service, before: Service | undefined, circumstances: Circumstances): Verdict => {
  const { found, by } = findInService(service, circumstances)
  const old = before === undefined ? [] : findInService(before, circumstances).found
  const outcomes = settle(found, old, service, circumstances)
  const refused = outcomes.some(({ action, fromMutation }) => action === 'deny' && !fromMutation)
  return {
    outcomes: refused ? outcomes.filter(({ fromMutation }) => !fromMutation) : outcomes,
    isVirtualHost: by !== undefined,
    inferred: by === 'inference',
  }
}

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
const acrossClients = (emissions: readonly Emission[], lists: readonly (readonly Found[])[]): Found[] => {
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

const findInVirtualService = (virtualService: VirtualService, circumstances: Circumstances): Found[] => {
  const { policy, view } = circumstances
  const emissions = emissionsFor(virtualService, view, policy)
  const scopes = emissions.map((emission) => virtualServiceScope(virtualService, emission, view, policy))
  const scope = (['virtual-host', 'other'] as const).find((one) => scopes.includes(one))
  if (scope === undefined) return []
  const column = scope === 'virtual-host' ? 'virtualHost' : 'other'
  // Istio honours VirtualServices in every namespace; outside the mesh's own we only advise.
  const limit: Action = isSelected(virtualService.namespace, view) ? 'deny' : 'warn'
  const labels = labelsOf(virtualService.namespace, view)
  const actionOf = (rule: Rule<VirtualServiceSubject>) => milder(actionFor(policy, rule.id, column, labels), limit)
  return acrossClients(
    emissions,
    emissions.map((emission) => run(virtualServiceRules, { ...circumstances, virtualService, emission }, actionOf)),
  )
}

/** Judges a VirtualService; `before` is the object that an update replaces. */
export const judgeVirtualService = (
  virtualService: VirtualService,
  before: VirtualService | undefined,
  circumstances: Circumstances,
): Verdict => ({
  outcomes: settle(
    findInVirtualService(virtualService, circumstances),
    before === undefined ? [] : findInVirtualService(before, circumstances),
    virtualService,
    circumstances,
  ),
  isVirtualHost: false,
  inferred: false,
})
