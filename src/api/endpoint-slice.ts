import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a discovery.k8s.io/v1 EndpointSlice. */
export type EndpointSlice = NamespacedName & {
  /** The Service that it belongs to, by label kubernetes.io/service-name; empty where it belongs to none. */
  service: string
  /** False for the slices that Kubernetes itself makes from a selector. */
  madeByHand: boolean
  /** Whether any of its endpoints is ready. */
  isReady: boolean
}

/** Projects an EndpointSlice. Throws MalformedObject. */
export const parseEndpointSlice = (object: unknown): EndpointSlice => {
  const fields = new Fields(object)
  const labels = fields.object('metadata').stringMap('labels')
  return {
    ...readName(fields),
    service: labels.get('kubernetes.io/service-name') ?? '',
    // A slice mirrored from hand-made Endpoints carries another manager's name: it counts as made by hand, as it should.
    madeByHand: labels.get('endpointslice.kubernetes.io/managed-by') !== 'endpointslice-controller.k8s.io',
    // An endpoint that does not say counts as ready.
    isReady: fields.list('endpoints', (one) => one.object('conditions').boolean('ready') ?? true).includes(true),
  }
}
