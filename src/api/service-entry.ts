import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a networking.istio.io ServiceEntry. */
export type ServiceEntry = NamespacedName & {
  hosts: readonly string[]
  ports: readonly { number: number; protocol: string }[]
  /** spec.addresses, which may be CIDR ranges, and the addresses that Istio assigned (status.addresses[].value). */
  addresses: readonly string[]
}

/** Projects a ServiceEntry. Throws MalformedObject. */
export const parseServiceEntry = (object: unknown): ServiceEntry => {
  const fields = new Fields(object)
  const spec = fields.object('spec')
  return {
    ...readName(fields),
    hosts: spec.strings('hosts'),
    ports: spec.list('ports', (port) => ({
      number: port.number('number') ?? 0,
      protocol: port.string('protocol') ?? '',
    })),
    addresses: [
      ...spec.strings('addresses'),
      ...fields
        .object('status')
        .list('addresses', (address) => address.string('value') ?? '')
        .filter((value) => value !== ''),
    ],
  }
}
