import fc from 'fast-check'
import type { NamespacedName } from '../../../src/api/metadata.ts'
import { serviceHost } from '../../../src/istio/hosts.ts'
import {
  anyIndex,
  at,
  type Draft,
  exportedTo,
  exportScopes,
  istioDraft,
  mostly,
  namespaces,
  rarely,
  rootNamespace,
  subsetNames,
} from './universe.ts'

export type DestinationRuleSpec = {
  host: string
  subsets?: { name: string; labels: Record<string, string> }[]
  workloadSelector?: { matchLabels: Record<string, string> }
  exportTo?: string[]
}
export type DestinationRule = Draft<DestinationRuleSpec>

/** How a rule can name a Service: one entry a form. */
const hostForms = {
  full: serviceHost,
  short: ({ name }: NamespacedName) => name,
  dotted: ({ namespace, name }: NamespacedName) => `${name}.${namespace}`,
  wildcard: ({ namespace }: NamespacedName, domain: string) => `*.${namespace}.svc.${domain}`,
  'upper case': (service: NamespacedName, domain: string) => serviceHost(service, domain).toUpperCase(),
}
export type HostForm = keyof typeof hostForms

export type DestinationRuleDraw = {
  /** Which destination it is for. */
  service: number
  /** Undefined for that of the Service. */
  namespace: string | undefined
  form: HostForm
  subsets: readonly string[]
  hasWorkloadSelector: boolean
  scope: readonly string[] | undefined
}

export const destinationRuleDraws: fc.Arbitrary<readonly DestinationRuleDraw[]> = fc.array(
  fc.record({
    service: anyIndex,
    namespace: mostly<string | undefined>(fc.constant(undefined), fc.constantFrom(...namespaces, rootNamespace)),
    form: mostly<HostForm>(fc.constant('full'), fc.constantFrom(...(Object.keys(hostForms) as HostForm[]))),
    subsets: fc.subarray([...subsetNames]),
    hasWorkloadSelector: mostly(fc.constant(false), fc.constant(true)),
    scope: rarely(fc.constantFrom(...exportScopes)),
  }),
  { maxLength: 2, size: 'small' },
)

export const toDestinationRule = (
  draw: DestinationRuleDraw,
  index: number,
  services: readonly NamespacedName[],
  domain: string,
): DestinationRule[] => {
  const service = at(services, draw.service)
  if (service === undefined) return []
  const namespace = draw.namespace ?? service.namespace
  return [
    istioDraft('DestinationRule', { namespace, name: `rule-${index}` }, {
      host: hostForms[draw.form](service, domain),
      ...(draw.subsets.length === 0 ? {} : { subsets: draw.subsets.map(toSubset) }),
      // A rule for some workloads is never for those of other namespaces: istiod refuses an exportTo that says so.
      ...(draw.hasWorkloadSelector
        ? { workloadSelector: { matchLabels: { app: 'web' } }, ...exportedTo(draw.scope && ['.']) }
        : exportedTo(draw.scope)),
    } satisfies DestinationRuleSpec),
  ]
}

export const toSubset = (name: string) => ({ name, labels: { version: name } })
