import { oldestFirst } from '../api/creation-order.ts'
import type { DestinationRule } from '../api/destination-rule.ts'
import type { ClusterView } from '../view/view.ts'
import { type Client, hasLabels } from './client.ts'
import { isWildcard, type Mesh, matchesHost, resolveShortName } from './hosts.ts'
import type { MeshHost } from './registry.ts'

/** Rules for one host that istiod has made one of. */
type Merged = { exportTo: ReadonlySet<string>; selector: DestinationRule['workloadSelector']; subsets: Set<string> }

/** A rule with a selector is its namespace's own, whatever it says. */
const exportsOf = ({ exportTo, workloadSelector }: DestinationRule): ReadonlySet<string> =>
  new Set(workloadSelector === undefined ? exportTo : ['.'])

const isLocal = (rule: DestinationRule): boolean => {
  const exportTo = exportsOf(rule)
  return exportTo.size === 0 || ['*', '.', rule.namespace].some((one) => exportTo.has(one))
}

const isPrivate = (rule: DestinationRule): boolean => {
  const exportTo = exportsOf(rule)
  return exportTo.size === 1 && (exportTo.has('.') || exportTo.has(rule.namespace))
}

const isExportedTo = (client: string, { exportTo }: Merged): boolean =>
  exportTo.size === 0 || exportTo.has('*') || exportTo.has(client)

const withSelectorsAndOldestFirst = (a: DestinationRule, b: DestinationRule): number =>
  Number(a.workloadSelector === undefined) - Number(b.workloadSelector === undefined) || oldestFirst(a, b)

const sameLabels = (a: Merged['selector'], b: Merged['selector']): boolean =>
  a?.size === b?.size && [...(a ?? [])].every(([name, value]) => b?.get(name) === value)

const hasAll = (set: ReadonlySet<string>, others: ReadonlySet<string>): boolean =>
  [...others].every((one) => set.has(one))

/** Istio 1.31 pilot/pkg/model/destination_rule.go, mergeDestinationRule. */
const merge = (rules: readonly DestinationRule[]): Merged[] => {
  const all: Merged[] = []
  for (const rule of [...rules].sort(withSelectorsAndOldestFirst)) {
    const [exportTo, selector] = [exportsOf(rule), rule.workloadSelector]
    let isSeparate = true
    for (const one of all) {
      const isSame = exportTo.size === one.exportTo.size && hasAll(exportTo, one.exportTo)
      if (!isSame && (one.exportTo.size === 0 || !hasAll(exportTo, one.exportTo))) {
        isSeparate = true
        continue
      }
      if ((selector === undefined) !== (one.selector === undefined)) {
        isSeparate = !isSame
      } else if (!sameLabels(selector, one.selector)) {
        isSeparate = true
        continue
      } else {
        isSeparate = false
      }
      for (const subset of rule.subsets) one.subsets.add(subset)
    }
    if (isSeparate) all.push({ exportTo, selector, subsets: new Set(rule.subsets) })
  }
  return all
}

/** Those for the host itself, else those for the longest wildcard over it. Istio 1.31 pilot/pkg/model/config.go, MostSpecificHostMatch. */
const mostSpecific = (host: string, rules: readonly { hosts: string; rule: DestinationRule }[]): Merged[] => {
  const over = rules.filter(({ hosts }) => hosts === host || (isWildcard(hosts) && matchesHost(hosts, host)))
  const best = over.reduce((longest, { hosts }) => {
    if (longest === host || hosts === host) return host
    return hosts.length > longest.length ? hosts : longest
  }, '')
  return merge(over.filter(({ hosts }) => hosts === best).map(({ rule }) => rule))
}

/** Those that every Pod of a client's namespace has, and those that some have. One Pod has the same of both. */
export type Subsets = { every: ReadonlySet<string>; some: ReadonlySet<string> }

/**
 * The subsets of a host that a client has clusters for, by the DestinationRules that istiod selects for it: those of the client's namespace,
 * else those that the host's namespace exports, else those of the root namespace; and of these the one for the client's Pod.
 * Istio 1.31 pilot/pkg/model/push_context.go, destinationRule, and sidecar.go, DestinationRule.
 */
export const subsetsOf = (target: MeshHost, client: Client, view: ClusterView, mesh: Mesh): Subsets => {
  const rules = view
    .destinationRules(target.host)
    .map((rule) => ({ rule, hosts: resolveShortName(rule.host, rule.namespace, mesh.clusterDomain) }))
  const of = (namespace: string, isMeant: (rule: DestinationRule) => boolean): Merged[] =>
    mostSpecific(
      target.host,
      rules.filter(({ rule }) => rule.namespace === namespace && isMeant(rule)),
    )
  const exported = (namespace: string): Merged[] =>
    of(namespace, (rule) => !isPrivate(rule)).filter((merged) => isExportedTo(client.namespace, merged))
  const own = of(client.namespace, client.namespace === mesh.rootNamespace ? isPrivate : isLocal)
  const selected =
    [() => own, () => exported(target.namespace), () => exported(mesh.rootNamespace)]
      .map((list) => list())
      .find((list) => list.length > 0) ?? []
  const forPods = selected.filter(
    ({ selector }) => selector !== undefined && own === selected && hasLabels(client, selector),
  )
  // Of those for the same labels a Pod is given the first.
  const forPod = forPods.filter(
    (one, index) => forPods.findIndex(({ selector }) => sameLabels(selector, one.selector)) === index,
  )
  const forAll = selected.findLast(({ selector }) => selector === undefined)
  const rest = forAll?.subsets ?? new Set<string>()
  if (client.labels !== 'any') {
    const given = forPod[0]?.subsets ?? rest
    return { every: given, some: given }
  }
  const [first, ...others] = [rest, ...forPod.map(({ subsets }) => subsets)] as [Set<string>, ...Set<string>[]]
  const every = others.reduce((common, subsets) => common.intersection(subsets), first)
  return { every, some: others.reduce((all, subsets) => all.union(subsets), first) }
}
