import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceHostForeign: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-host-foreign',
  kinds: ['security'],
  defaults: { virtualHost: 'warn', other: 'off' },
  finds: 'A host belongs to a Service of another namespace.',
  why:
    'Istio lets a VirtualService of any namespace route the host of any Service, for the whole mesh unless `exportTo` limits it. Whoever ' +
    'may write VirtualServices in one namespace can so take over the traffic of another. One that is exported to its own namespace alone ' +
    'routes the traffic of its own callers, and nothing is said of it.',
  check: ({ virtualService, emission }) => {
    const { namespace, exportTo } = virtualService
    if (exportTo.length > 0 && exportTo.every((one) => one === '.' || one === namespace)) return []
    return emission.hosts.flatMap((host) => {
      if (host.kind !== 'resolved') return []
      const others = host.targets.filter((target) => target.service !== undefined && target.namespace !== namespace)
      const [first] = others
      if (first === undefined) return []
      const more = others.length > 1 ? ` and ${others.length - 1} more` : ''
      return [
        {
          field: host.field,
          about: host.host.toLowerCase(),
          problem: `host "${host.host}" is that of Service ${first.namespace}/${first.name}${more}, in another namespace`,
          reason: 'its traffic is routed by somebody else than its owner',
          fix: `move the VirtualService to namespace ${first.namespace}, or limit it to its own by exportTo: [.]`,
        },
      ]
    })
  },
}
