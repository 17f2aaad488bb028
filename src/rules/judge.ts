import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { emissionsFor } from '../istio/clients.ts'
import { fieldInDelegate } from '../istio/delegates.ts'
import type { ClusterView } from '../view/view.ts'
import { acrossClients } from './across-clients.ts'
import { exemptionFor, exemptionNote } from './exemption.ts'
import { type Action, type Finding, type Found, identity, placedIdentity } from './finding.ts'
import { serviceDeletionRules, serviceRules, virtualServiceRules } from './index.ts'
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
  /** Only what is denied is of interest: nobody will be told the rest. */
  denialsOnly?: boolean
}

export const isDenied = ({ outcomes }: Verdict): boolean => outcomes.some(({ action }) => action === 'deny')

const severity: readonly Action[] = ['off', 'audit', 'warn', 'deny']

const milder = <A extends Action>(a: A, b: A): A => (severity.indexOf(a) < severity.indexOf(b) ? a : b)

/** A field's path as a text that sorts by the numbers in it. */
const sortKey = ({ field }: Finding): string => field.replace(/\d+/g, (digits) => digits.padStart(9, '0'))

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

/** How a Service came to be a virtual host, and what is done for a rule's findings in it. */
const actionsFor = (
  service: Service,
  { policy, view }: Circumstances,
): { by: VirtualHostBy; actionOf: (rule: Pick<Rule<never>, 'id' | 'kinds'>) => Action } => {
  const by = virtualHostBy(service, view, policy)
  const column = by === undefined ? 'other' : 'virtualHost'
  // Outside the mesh Istio's rules do not hold; taking somebody else's address is wrong everywhere.
  const inMesh = by !== undefined || isSelected(service.namespace, view)
  const labels = labelsOf(service.namespace, view)
  const actionOf = ({ id, kinds }: Pick<Rule<never>, 'id' | 'kinds'>) =>
    inMesh || kinds.includes('security') ? actionFor(policy, id, column, labels) : 'off'
  return { by, actionOf }
}

const findInService = (
  service: Service,
  before: Service | undefined,
  circumstances: Circumstances,
): { found: Found[]; by: VirtualHostBy } => {
  const { by, actionOf } = actionsFor(service, circumstances)
  const subject = { ...circumstances, service, before, isVirtualHost: by !== undefined }
  const rules = circumstances.denialsOnly ? serviceRules.filter((rule) => actionOf(rule) === 'deny') : serviceRules
  return { found: run(rules, subject, actionOf), by }
}

/** Judges a Service; `before` is the object that an update replaces. */
export const judgeService = (service: Service, before: Service | undefined, circumstances: Circumstances): Verdict => {
  const { found, by } = findInService(service, before, circumstances)
  const old = before === undefined ? [] : findInService(before, undefined, circumstances).found
  const outcomes = settle(found, old, service, circumstances)
  const refused = outcomes.some(({ action, fromMutation }) => action === 'deny' && !fromMutation)
  return {
    outcomes: refused ? outcomes.filter(({ fromMutation }) => !fromMutation) : outcomes,
    isVirtualHost: by !== undefined,
    inferred: by === 'inference',
  }
}

/** What there is to say of the deletion of a Service, which nothing refuses. */
export const judgeServiceDeletion = (service: Service, circumstances: Circumstances): readonly Outcome[] => {
  const subject = { ...circumstances, service }
  const rules = serviceDeletionRules.filter((rule) => rule.check(subject).length > 0)
  // Whether it is a virtual host takes reads of its endpoints: for what nothing uses they are not made.
  if (rules.length === 0) return []
  const { actionOf } = actionsFor(service, circumstances)
  const found = run(rules, subject, (rule) => milder(actionOf(rule), 'warn'))
  return settle(found, [], service, circumstances)
}

/** What is wrong with a VirtualService that has hosts. `delegate` is one of its delegates as it is about to be. */
const findInRoot = (root: VirtualService, circumstances: Circumstances, delegate?: VirtualService): Found[] => {
  const { policy, view } = circumstances
  const emissions = emissionsFor(root, view, policy, delegate)
  const scopes = emissions.map((emission) => virtualServiceScope(root, emission, view, policy))
  const scope = (['virtual-host', 'other'] as const).find((one) => scopes.includes(one))
  if (scope === undefined) return []
  const column = scope === 'virtual-host' ? 'virtualHost' : 'other'
  // Istio honours VirtualServices in every namespace; outside the mesh's own we only advise.
  const limit: Action = isSelected(root.namespace, view) ? 'deny' : 'warn'
  const labels = labelsOf(root.namespace, view)
  const actionOf = (rule: Rule<VirtualServiceSubject>) => milder(actionFor(policy, rule.id, column, labels), limit)
  const found = emissions.map((emission) =>
    run(virtualServiceRules, { ...circumstances, virtualService: root, emission }, actionOf),
  )
  return acrossClients(emissions, found)
}

/** What is wrong with a delegate: what is wrong in its part of the VirtualServices that use it. */
const findInDelegate = (delegate: VirtualService, circumstances: Circumstances): Found[] => {
  const roots = circumstances.view.virtualServicesWithDelegate(delegate)
  const found = roots.flatMap((root) =>
    findInRoot(root, circumstances, delegate).flatMap(({ finding, action }) => {
      const field = fieldInDelegate(finding.field, delegate)
      const problem = `${finding.problem} (as part of VirtualService ${formatName(root)})`
      return field === undefined ? [] : [{ finding: { ...finding, field, problem }, action }]
    }),
  )
  // Several roots may meet the same: the most severe counts, which comes last.
  found.sort((a, b) => severity.indexOf(a.action) - severity.indexOf(b.action))
  return [...new Map(found.map((one) => [placedIdentity(one.finding), one])).values()]
}

const findInVirtualService = (virtualService: VirtualService, circumstances: Circumstances): Found[] =>
  virtualService.hosts.length === 0
    ? findInDelegate(virtualService, circumstances)
    : findInRoot(virtualService, circumstances)

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
