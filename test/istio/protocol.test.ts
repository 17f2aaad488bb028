import t from 'tap'
import { type PortClass, portClass, protocolClass, protocolNames, speaksHttp2 } from '../../src/istio/protocol.ts'

const port = (name: string, appProtocol?: string, number = 8080, protocol = 'TCP') => ({
  name,
  port: number,
  protocol,
  appProtocol,
})

t.test('the class by the name of the port', async (t) => {
  const rows: [name: string, expected: PortClass][] = [
    ['http', 'HTTP'],
    ['http-orders', 'HTTP'],
    ['http2', 'HTTP'],
    ['http2-orders', 'HTTP'],
    ['grpc', 'HTTP'],
    ['grpc-orders', 'HTTP'],
    ['grpc-web', 'HTTP'],
    ['grpc-web-orders', 'HTTP'],
    ['grpc-webfoo', 'HTTP'],
    ['GRPC-Web', 'HTTP'],
    ['HTTP-orders', 'HTTP'],
    ['http_proxy', 'HTTP'],
    ['tcp', 'TCP'],
    ['tcp-orders', 'TCP'],
    ['mongo', 'TCP'],
    ['redis-cache', 'TCP'],
    ['mysql-0', 'TCP'],
    ['https', 'TLS'],
    ['https-orders', 'TLS'],
    ['tls', 'TLS'],
    ['tls-orders', 'TLS'],
    ['udp', 'UDP'],
    ['udp-orders', 'UDP'],
    ['', 'undetermined'],
    ['web', 'undetermined'],
    ['orders', 'undetermined'],
    ['foo-http', 'undetermined'],
    ['httpfoo', 'undetermined'],
    ['http2foo', 'undetermined'],
    ['grpcweb-x', 'undetermined'],
    ['hbone', 'undetermined'],
    ['-http', 'undetermined'],
  ]
  for (const [name, expected] of rows) t.equal(portClass(port(name)), expected, name || '(no name)')
})

t.test('an appProtocol replaces the name', async (t) => {
  const rows: [story: string, name: string, appProtocol: string, expected: PortClass][] = [
    ['it wins over the name', 'tcp-orders', 'http', 'HTTP'],
    ['it wins even where Istio does not know it', 'http-orders', 'example.com/http', 'undetermined'],
    ['an empty one too', 'http-orders', '', 'undetermined'],
    ['case does not matter', '', 'HTTP', 'HTTP'],
    ['nor does a suffix', '', 'grpc-orders', 'HTTP'],
    ['http_proxy', '', 'http_proxy', 'HTTP'],
    ['HTTP/2 in the clear', 'tcp', 'kubernetes.io/h2c', 'HTTP'],
    ['WebSocket', 'tcp', 'kubernetes.io/ws', 'HTTP'],
    ['WebSocket over TLS', 'http', 'kubernetes.io/wss', 'TLS'],
    ["Kubernetes' own names are taken to the letter", 'http', 'Kubernetes.io/H2C', 'undetermined'],
    ['tcp', 'http', 'tcp', 'TCP'],
    ['https', 'http', 'https', 'TLS'],
    ['udp', 'http', 'udp', 'UDP'],
  ]
  for (const [story, name, appProtocol, expected] of rows) t.equal(portClass(port(name, appProtocol)), expected, story)
})

t.test("a name like Kubernetes' own appProtocols says nothing", async (t) => {
  t.equal(portClass(port('kubernetes.io/h2c')), 'undetermined')
})

t.test('a UDP port is UDP whatever it is called', async (t) => {
  t.equal(portClass(port('http-orders', undefined, 8080, 'UDP')), 'UDP')
  t.equal(portClass(port('', 'http', 8080, 'UDP')), 'UDP')
  t.equal(portClass(port('', undefined, 53, 'UDP')), 'UDP')
})

t.test('an SCTP port is judged by its name', async (t) => {
  t.equal(portClass(port('http-orders', undefined, 8080, 'SCTP')), 'HTTP')
  t.equal(portClass(port('sctp', undefined, 8080, 'SCTP')), 'undetermined')
})

t.test('ports where servers speak first are TCP unless something says otherwise', async (t) => {
  for (const number of [25, 53, 3306, 27017]) {
    t.equal(portClass(port('', undefined, number)), 'TCP', `${number} without name`)
    t.equal(portClass(port('orders', undefined, number)), 'TCP', `${number} with a name that says nothing`)
    t.equal(portClass(port('http', 'example.com/x', number)), 'TCP', `${number} with an unknown appProtocol`)
    t.equal(portClass(port('http', undefined, number)), 'HTTP', `${number} with a name`)
    t.equal(portClass(port('tls', undefined, number)), 'TLS', `${number} with TLS`)
  }
  for (const number of [24, 26, 80, 443, 3307, 5432, 6379]) {
    t.equal(portClass(port('', undefined, number)), 'undetermined', String(number))
  }
})

t.test('the class of a protocol that a ServiceEntry names', async (t) => {
  const rows: [protocol: string, expected: PortClass][] = [
    ['HTTP', 'HTTP'],
    ['HTTP2', 'HTTP'],
    ['HTTP_PROXY', 'HTTP'],
    ['GRPC', 'HTTP'],
    ['GRPC-Web', 'HTTP'],
    ['TCP', 'TCP'],
    ['MONGO', 'TCP'],
    ['REDIS', 'TCP'],
    ['MySQL', 'TCP'],
    ['HTTPS', 'TLS'],
    ['TLS', 'TLS'],
    ['UDP', 'UDP'],
    ['', 'undetermined'],
    ['http-orders', 'undetermined'],
    ['SCTP', 'undetermined'],
  ]
  for (const [protocol, expected] of rows) t.equal(protocolClass(protocol), expected, protocol || '(none)')
})

t.test('messages offer every protocol that a port name can begin with', async (t) => {
  t.strictSame([...protocolNames].sort(), [
    'grpc',
    'grpc-web',
    'http',
    'http2',
    'https',
    'mongo',
    'mysql',
    'redis',
    'tcp',
    'tls',
    'udp',
  ])
  for (const name of protocolNames) t.not(portClass(port(`${name}-orders`)), 'undetermined', name)
})

t.test('the cluster of a port speaks HTTP/2 where its name or appProtocol says so', async (t) => {
  const rows: [name: string, appProtocol: string | undefined, expected: boolean][] = [
    ['grpc', undefined, true],
    ['grpc-orders', undefined, true],
    ['grpc-web-orders', undefined, true],
    ['http2-orders', undefined, true],
    ['http-orders', undefined, false],
    ['tcp', undefined, false],
    ['', undefined, false],
    ['http', 'grpc', true],
    ['http', 'kubernetes.io/h2c', true],
    ['grpc', 'http', false],
    ['grpc', 'example.com/x', false],
  ]
  for (const [name, appProtocol, expected] of rows) {
    const story = `${name} ${appProtocol ?? ''}`
    t.equal(speaksHttp2(port(name, appProtocol)), expected, story)
  }
})
