import t from 'tap'
import { formatHostPort, parseHostPort } from '../../src/server/host-port.ts'

t.test('where to listen, as it is typed', async (t) => {
  const cases: [text: string, expected: { host: string; port: number } | undefined][] = [
    ['127.0.0.1:8443', { host: '127.0.0.1', port: 8443 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    [':8443', { host: '0.0.0.0', port: 8443 }],
    ['[::1]:8443', { host: '::1', port: 8443 }],
    ['[::]:65535', { host: '::', port: 65535 }],
    ['[::ffff:127.0.0.1]:1', { host: '::ffff:127.0.0.1', port: 1 }],
    ['8443', undefined],
    ['127.0.0.1', undefined],
    ['127.0.0.1:', undefined],
    ['127.0.0.1:65536', undefined],
    ['127.0.0.1:-1', undefined],
    ['127.0.0.1:http', undefined],
    ['127.0.0.1:123456', undefined],
    ['::1:8443', undefined],
    ['[]:8443', undefined],
    ['[localhost]:8443', undefined],
    ['my host:8443', undefined],
    ['https://localhost:8443', undefined],
    ['', undefined],
  ]
  for (const [text, expected] of cases) t.strictSame(parseHostPort(text), expected, text)
})

t.test('and as it stands in a URL', async (t) => {
  t.equal(formatHostPort({ host: '127.0.0.1', port: 8443 }), '127.0.0.1:8443')
  t.equal(formatHostPort({ host: '::1', port: 8443 }), '[::1]:8443')
})
