import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

export const managedByLabel = 'ipaddress.kubernetes.io/managed-by'
export const ipFamilyLabel = 'ipaddress.kubernetes.io/ip-family'
export const managedBy = 'meshvip.dev'

/** A networking.k8s.io/v1 IPAddress: its name is the address, and there can be only one of a name. */
export type IPAddress = NamespacedName & {
  /** spec.parentRef, where it names a Service; undefined where it names anything else. */
  service: NamespacedName | undefined
  /** spec.parentRef as text, whatever it names. */
  parent: string
  /** When it was last claimed, RFC 3339; empty where nothing says it. */
  claimedAt: string
  /** Whether it is about to be collected: nobody may rely on it without claiming it anew. */
  isReleased: boolean
}

/** When a claim was last asked for; where it never was again, its creation counts. */
export const claimedAtAnnotation = 'meshvip.dev/claimed-at'

/** "true" on a claim that is about to be collected. */
export const releasedAnnotation = 'meshvip.dev/released'

/** Projects an IPAddress. Throws MalformedObject. */
export const parseIPAddress = (object: unknown): IPAddress => {
  const fields = new Fields(object)
  const parent = fields.object('spec').object('parentRef')
  const group = parent.string('group') ?? ''
  const resource = parent.string('resource') ?? ''
  const name = { namespace: parent.string('namespace') ?? '', name: parent.string('name') ?? '' }
  const metadata = fields.object('metadata')
  const annotations = metadata.object('annotations')
  const isService = group === '' && resource === 'services'
  return {
    ...readName(fields),
    service: isService ? name : undefined,
    claimedAt: annotations.string(claimedAtAnnotation) ?? metadata.string('creationTimestamp') ?? '',
    isReleased: annotations.string(releasedAnnotation) === 'true',
    parent: isService ? `Service ${name.namespace}/${name.name}` : `${resource} ${name.namespace}/${name.name}`,
  }
}
