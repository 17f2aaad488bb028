import t from 'tap'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import { emit } from '../../src/istio/emission.ts'
import { destinationRule, entryFor, service, storeOf, virtualService } from '../support/objects.ts'

const mesh = { clusterDomain: 'cluster.local', foreignHosts: [], rootNamespace: 'istio-system' }

const http = (port: number) => ({ name: `http-${port}`, port })
const tcp = (port: number) => ({ name: `tcp-${port}`, port })
const alias = (name: string, externalName: string, ...ports: number[]) =>
  service(name, { type: 'ExternalName', externalName, ports: ports.map(http) })

const view = storeOf(
  service('orders', { ports: [http(3111), http(3112), tcp(9000)] }),
  service('read', { ports: [http(3100)] }),
  service('front', { ports: [http(3111)] }),
  service('many', { ports: [http(3100), http(3101)] }),
  service('names', { ports: [{ name: 'udp', port: 53, protocol: 'UDP' }] }),
  service(
    'private',
    { ports: [http(3100)] },
    {
      namespace: 'stock',
      annotations: { 'networking.istio.io/exportTo': '.' },
    },
  ),
  alias('to-read', 'read.shop.svc.cluster.local', 3111, 3112),
  alias('to-read-half', 'read.shop.svc.cluster.local', 3111),
  alias('to-front', 'front.shop.svc.cluster.local', 3111),
  alias('to-nobody', 'nobody.example.com', 3111, 3112),
  alias('to-alias', 'to-front.shop.svc.cluster.local', 3111, 3112),
  entryFor('pay', { hosts: ['pay.example.com'], ports: [{ number: 443, protocol: 'TLS' }] }),
  destinationRule('read', 'read', { subsets: [{ name: 'v1' }] }),
)

/** What becomes of a destination of an http route on 3111 and 3112, or of a tcp route on 9000. */
const becomes = (protocol: 'http' | 'tcp', host: string, rest: { port?: object; subset?: string } = {}): string => {
  const own = virtualService('orders', {
    hosts: ['orders.shop.svc.cluster.local'],
    [protocol]: [{ route: [{ destination: { host, ...rest } }] }],
  })
  const { destinations } = emit(parseVirtualService(own), { namespace: 'shop', labels: 'any' }, view, mesh)
  const [one] = destinations
  t.equal(destinations.length, 1, `${host} is one destination`)
  switch (one?.kind) {
    case 'exists':
      return `${one.ports} of ${one.target?.name}`
    case 'port':
      return [
        `no ${one.port} among ${one.ports}`,
        ...(one.implied ? ['implied'] : []),
        ...(one.reachable ? ['reachable'] : []),
        ...(one.alias ? ['alias'] : []),
      ].join(', ')
    case 'missing':
      return `missing ${one.alias ?? one.host}`
    case 'subset':
      return `no ${one.subset} among ${one.subsets}`
    default:
      return `${one?.kind}`
  }
}

const port = (number: number) => ({ port: { number } })

t.test('a port that is left out is the listener’s in an http route, and the only one in a tcp route', async (t) => {
  t.equal(becomes('http', 'read', port(3100)), '3100 of read')
  t.equal(becomes('http', 'read', port(3111)), 'no 3111 among 3100')
  t.equal(becomes('http', 'read'), 'no 3111 among 3100, implied')
  t.equal(becomes('http', 'front'), 'no 3112 among 3111, implied, reachable')
  t.equal(becomes('tcp', 'read'), '3100 of read')
  t.equal(becomes('tcp', 'many'), 'no 9000 among 3100,3101, implied')
  t.equal(becomes('tcp', 'many', port(3101)), '3101 of many')
  t.equal(becomes('http', 'pay.example.com', port(443)), '443 of pay')
})

t.test('there is no cluster for a UDP port', async (t) => {
  t.equal(becomes('http', 'names', port(53)), 'no 53 among ')
  t.equal(becomes('tcp', 'names'), 'no 53 among , implied')
})

t.test('an ExternalName Service stands for its target, to an http route only on its own ports', async (t) => {
  t.equal(becomes('http', 'to-read', port(3100)), '3100 of read')
  t.equal(becomes('http', 'to-read'), 'no 3111 among 3100, implied')
  t.equal(becomes('http', 'to-read-half', port(3100)), 'no 3112 among 3111, implied, reachable, alias')
  t.equal(becomes('tcp', 'to-read-half', port(3100)), '3100 of read', 'to a tcp route on all')
  t.equal(becomes('tcp', 'to-front'), '3111 of front')
  t.equal(becomes('http', 'to-nobody', port(443)), 'missing nobody.example.com')
  t.equal(becomes('http', 'to-alias', port(3111)), 'missing to-front.shop.svc.cluster.local', 'one alias is followed')
})

t.test('a subset is looked for in the DestinationRules of the target', async (t) => {
  t.equal(becomes('http', 'read', { ...port(3100), subset: 'v1' }), '3100 of read')
  t.equal(becomes('http', 'read', { ...port(3100), subset: 'v2' }), 'no v2 among v1')
  t.equal(becomes('http', 'to-read', { ...port(3100), subset: 'v1' }), '3100 of read')
  t.equal(becomes('http', 'front', { ...port(3111), subset: 'v1' }), 'no v1 among ')
})

t.test('what is not exported to the client is hidden', async (t) => {
  t.equal(becomes('http', 'private.stock.svc.cluster.local', port(3100)), 'hidden')
  t.equal(becomes('http', 'nobody', port(3100)), 'missing nobody.shop.svc.cluster.local')
})

t.test('a dotted destination means a Service where its last label is a namespace', async (t) => {
  t.equal(becomes('http', 'read.shop', port(3100)), 'form')
  t.equal(becomes('http', 'read.shop.', port(3100)), 'form', 'with a dot at its end')
  t.equal(becomes('http', 'api.example', port(3100)), 'missing api.example')
  t.equal(becomes('http', 'api.example.', port(3100)), 'missing api.example.')
})
