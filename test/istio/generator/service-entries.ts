import fc from 'fast-check'
import { type Draft, exportedTo, exportScopes, istioDraft, mostly, namespaces, nonEmpty, rarely } from './universe.ts'

export type ServiceEntrySpec = {
  hosts: string[]
  addresses?: string[]
  ports: { number: number; name: string; protocol: string }[]
  location: string
  resolution: string
  endpoints?: { address: string }[]
  exportTo?: string[]
}
export type ServiceEntry = Draft<ServiceEntrySpec>

/**
 * What ServiceEntries stand for: one entry a construct. A wildcard cannot be resolved by DNS without endpoints, and several hosts
 * cannot share a TCP port; istiod refuses both.
 */
const kinds: readonly Pick<ServiceEntrySpec, 'hosts' | 'resolution' | 'endpoints'>[] = [
  { hosts: ['api.example.com'], resolution: 'DNS' },
  { hosts: ['db.example.com'], resolution: 'STATIC', endpoints: [{ address: '10.1.0.1' }] },
  { hosts: ['*.example.com'], resolution: 'NONE' },
  { hosts: ['*.example.com'], resolution: 'STATIC', endpoints: [{ address: '10.1.0.2' }] },
  { hosts: ['orders.shop'], resolution: 'STATIC' },
  { hosts: ['read.shop'], resolution: 'DNS' },
  { hosts: ['x.shop.svc.cluster.local'], resolution: 'DNS' },
  { hosts: ['db.example.com'], resolution: 'NONE' },
]

const protocols = ['HTTP', 'GRPC', 'HTTP2', 'TCP', 'TLS', 'HTTPS', 'MONGO'] as const
const entryPorts = [3111, 3100, 443, 8080, 80] as const
/** `~`, nobody at all, is for ServiceEntries alone. */
const entryScopes = [...exportScopes, ['~']]

export type ServiceEntryDraw = {
  kind: (typeof kinds)[number]
  namespace: string
  ports: readonly { number: number; protocol: string }[]
  hasAddress: boolean
  scope: readonly string[] | undefined
}

export const serviceEntryDraws: fc.Arbitrary<readonly ServiceEntryDraw[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(...kinds),
    namespace: fc.constantFrom(...namespaces),
    ports: nonEmpty(
      fc.uniqueArray(fc.record({ number: fc.constantFrom(...entryPorts), protocol: fc.constantFrom(...protocols) }), {
        selector: ({ number }) => number,
        maxLength: 2,
      }),
    ),
    hasAddress: mostly(fc.constant(false), fc.constant(true)),
    scope: rarely(fc.constantFrom(...entryScopes)),
  }),
  { maxLength: 2, size: 'small' },
)

const address = (index: number): string => `10.97.0.${index + 1}`

export const toServiceEntry = (draw: ServiceEntryDraw, index: number): ServiceEntry =>
  istioDraft('ServiceEntry', { namespace: draw.namespace, name: `entry-${index}` }, {
    ...structuredClone(draw.kind),
    ...(draw.hasAddress ? { addresses: [address(index)] } : {}),
    ports: draw.ports.map(({ number, protocol }) => ({ number, protocol, name: `p-${number}` })),
    location: 'MESH_EXTERNAL',
    ...exportedTo(draw.scope),
  } satisfies ServiceEntrySpec)
