import { type AddressRange, canonicalAddress, looseRange, mergeRanges } from './address.ts'
import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a networking.istio.io ServiceEntry. */
export type ServiceEntry = NamespacedName & {
  /** metadata.creationTimestamp, RFC 3339 in UTC; empty where it has none yet. */
  created: string
  hosts: readonly string[]
  /** NONE, STATIC, DNS, DNS_ROUND_ROBIN or DYNAMIC_DNS. */
  resolution: string
  /** The namespaces that see it: `.`, `*`, `~` or names; empty where the mesh's default holds. */
  exportTo: readonly string[]
  ports: readonly { number: number; protocol: string }[]
  /** The addresses of its own that were written (spec.addresses) or that Istio assigned (status.addresses[].value), canonical. */
  addresses: readonly string[]
  /** The ranges in spec.addresses, none touching another. */
  ranges: readonly AddressRange[]
}

/** Projects a ServiceEntry. Throws MalformedObject. */
export const parseServiceEntry = (object: unknown): ServiceEntry => {
  const fields = new Fields(object)
  const spec = fields.object('spec')
  const written = spec.strings('addresses')
  const assigned = fields.object('status').list('addresses', (address) => address.string('value') ?? '')
  const isRange = (text: string) => text.includes('/')
  return {
    ...readName(fields),
    created: fields.object('metadata').string('creationTimestamp') ?? '',
    hosts: spec.strings('hosts'),
    resolution: spec.string('resolution') ?? 'NONE',
    exportTo: spec.strings('exportTo'),
    ports: spec.list('ports', (port) => ({
      number: port.number('number') ?? 0,
      protocol: port.string('protocol') ?? '',
    })),
    addresses: [...written, ...assigned].filter((text) => text !== '' && !isRange(text)).map(canonicalAddress),
    ranges: mergeRanges(written.filter(isRange).flatMap((text) => looseRange(text) ?? [])),
  }
}
