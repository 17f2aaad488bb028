import { type AddressRange, canonicalAddress, looseRange, mergeRanges } from './address.ts'
import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a networking.istio.io ServiceEntry. */
export type ServiceEntry = NamespacedName & {
  hosts: readonly string[]
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
    hosts: spec.strings('hosts'),
    ports: spec.list('ports', (port) => ({
      number: port.number('number') ?? 0,
      protocol: port.string('protocol') ?? '',
    })),
    addresses: [...written, ...assigned].filter((text) => text !== '' && !isRange(text)).map(canonicalAddress),
    ranges: mergeRanges(written.filter(isRange).flatMap((text) => looseRange(text) ?? [])),
  }
}
