import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a v1 Endpoints object, which has the name of its Service. */
export type Endpoints = NamespacedName & {
  /** False for those that Kubernetes itself makes from a selector. */
  madeByHand: boolean
}

/** Projects an Endpoints object. Throws MalformedObject. */
export const parseEndpoints = (object: unknown): Endpoints => {
  const fields = new Fields(object)
  const manager = fields.object('metadata').stringMap('labels').get('endpoints.kubernetes.io/managed-by')
  return { ...readName(fields), madeByHand: manager !== 'endpoint-controller' }
}
