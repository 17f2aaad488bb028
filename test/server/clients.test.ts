import 'reflect-metadata'
import { once } from 'node:events'
import { Agent } from 'node:https'
import type { AddressInfo } from 'node:net'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { type Clients, renewCertificate } from '../../src/server/webhook.ts'
import { postOverTls } from '../support/https.ts'
import { service } from '../support/objects.ts'
import { requestFor, responseIn, reviewOf } from '../support/reviews.ts'
import { startWebhookServer } from '../support/webhook-server.ts'

type Certificate = { cert: string; key: string }

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 24 * 60 * 60 * 1000

/** A CA that certifies clients, by a common name and DNS names. */
const makeCA = async () => {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=clients',
    keys,
    signingAlgorithm: algorithm,
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  })
  const certify = async (
    subject: string,
    dnsNames: string[] = [],
    { usage = ExtendedKeyUsage.clientAuth, until = day }: { usage?: string; until?: number } = {},
  ): Promise<Certificate> => {
    const own = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const certificate = await X509CertificateGenerator.create({
      subject,
      issuer: ca.subject,
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + until),
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new ExtendedKeyUsageExtension([usage]),
        ...(dnsNames.length === 0
          ? []
          : [new SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value })))]),
      ],
    })
    const key = PemConverter.encode(await crypto.subtle.exportKey('pkcs8', own.privateKey), 'PRIVATE KEY')
    return { cert: certificate.toString('pem'), key }
  }
  return { ca: ca.toString('pem'), certify }
}

const ours = await makeCA()
const other = await makeCA()
const [first, second] = await Promise.all([0, 1].map(() => makeServingCertificate(['localhost'], new Date())))
if (first === undefined || second === undefined) throw new Error('unreachable')
const trust = [first.ca, second.ca]

const review = JSON.stringify(reviewOf(requestFor(service('orders'))))

/** The webhook server at a socket. */
const listen = async (t: Test, clients?: Clients) => {
  const { app, log } = await startWebhookServer(t, { tls: first, ...(clients === undefined ? {} : { clients }) })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return { app, log, port, url: `https://localhost:${port}` }
}

const ask = (t: Test, url: string, client: Partial<Certificate>, path = '/validate?timeout=10s') => {
  const agent = new Agent({ ca: trust, keepAlive: true, ...client })
  t.teardown(() => agent.destroy())
  return postOverTls(`${url}${path}`, agent, review)
}

const renew = (app: FastifyInstance, clients: Clients | undefined) => renewCertificate(app, second, clients)

t.test('who may ask is told by the client certificate', async (t) => {
  const apiServer = await ours.certify('CN=kube-apiserver')
  const named = await ours.certify('O=cluster', ['a.example.org', 'api.example.org'])
  const names = ['kube-apiserver', 'api.example.org']
  const not = (what: string) => ({ message: `meshvip does not answer this client: ${what}` })
  const unknown = not('it shows no client certificate of the CA that we were given')
  const unnamed = not('its client certificate has none of the names that may ask')
  const table: [what: string, names: string[], client: Partial<Certificate>, refusal: object | undefined][] = [
    ['one of the CA, where none is named', [], await ours.certify('CN=anybody'), undefined],
    ['one with the common name', names, apiServer, undefined],
    ['one with the DNS name', names, named, undefined],
    ['one without a certificate, where none is named', [], {}, unknown],
    ['one without a certificate', names, {}, unknown],
    ['one of another CA, though it has the name', names, await other.certify('CN=kube-apiserver'), unknown],
    ['one that has expired', names, await ours.certify('CN=kube-apiserver', [], { until: -1 }), unknown],
    [
      'one that is for servers',
      names,
      await ours.certify('CN=kube-apiserver', [], { usage: ExtendedKeyUsage.serverAuth }),
      unknown,
    ],
    ['one with another name', names, await ours.certify('CN=kubelet', ['b.example.org']), unnamed],
    ['one whose organisation has the name', names, await ours.certify('O=kube-apiserver,CN=x'), unnamed],
    ['one whose name begins so', names, await ours.certify('CN=kube-apiserver.example.org'), unnamed],
    ['one with a wildcard', names, await ours.certify('CN=x', ['*.example.org']), unnamed],
    ['one without any name', names, await ours.certify('O=x'), unnamed],
    [
      'one whose DNS name looks like several',
      names,
      await ours.certify('CN=x', ['a, DNS:api.example.org, b']),
      unnamed,
    ],
    [
      'one with such a name beside the right one',
      names,
      await ours.certify('CN=x', ['a, "b', 'api.example.org']),
      undefined,
    ],
  ]
  for (const [what, names, client, refusal] of table) {
    await t.test(what, async (t) => {
      const clients = { ca: ours.ca, names }
      const { app, log, url } = await listen(t, clients)
      const isRight = async (when: string) => {
        for (const path of ['/validate', '/mutate', '/probe', '/none']) {
          const { status, body } = await ask(t, url, client, path)
          if (refusal === undefined) t.equal(status, path === '/none' ? 404 : 200, `${path} ${when}`)
          else t.match([status, JSON.parse(body)], [403, { code: 403, ...refusal }], `${path} ${when}`)
        }
      }
      await isRight('before')
      renew(app, clients)
      await isRight('after the certificate was renewed')
      const told = log.lines.filter(({ msg }) => msg === 'somebody who may not ask')
      t.equal(told.length, refusal === undefined ? 0 : 8)
    })
  }
})

t.test('who resumes a session is known as well as before', async (t) => {
  const apiServer = await ours.certify('CN=kube-apiserver')
  for (const [client, status] of [
    [{}, 403],
    [apiServer, 200],
  ] as const) {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { port } = await listen(t, { ca: ours.ca, names: ['kube-apiserver'] })
      let session: Buffer | undefined
      const statuses: string[] = []
      const reused: boolean[] = []
      for (const _ of [1, 2]) {
        const socket = connect({
          port,
          host: 'localhost',
          ca: trust,
          maxVersion,
          ...client,
          ...(session && { session }),
        })
        socket.on('secureConnect', () => reused.push(socket.isSessionReused()))
        socket.on('session', (offered: Buffer) => {
          session = offered
        })
        socket.write('POST /probe HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}')
        let text = ''
        for await (const chunk of socket) text += chunk
        statuses.push(text.slice(9, 12))
      }
      t.strictSame(
        [reused, statuses],
        [
          [false, true],
          [String(status), String(status)],
        ],
        maxVersion,
      )
    }
  }
})

t.test('where nobody is named, everybody may ask, and no certificate is asked for', async (t) => {
  const { app, url } = await listen(t)
  t.equal((await ask(t, url, {})).status, 200)
  renew(app, undefined)
  t.equal((await ask(t, url, {})).status, 200)
})

t.test('a renewed certificate is served to new connections, while open ones go on', async (t) => {
  const { app, url } = await listen(t)
  const open = new Agent({ ca: first.ca, keepAlive: true, maxSockets: 1 })
  t.teardown(() => open.destroy())
  const before = await postOverTls(`${url}/validate`, open, review)
  renew(app, undefined)
  const after = await postOverTls(`${url}/validate`, open, review)
  t.strictSame([after.status, after.socket === before.socket], [200, true])
  t.equal((await postOverTls(`${url}/validate`, second.ca, review)).status, 200)
  await t.rejects(postOverTls(`${url}/validate`, first.ca, review), { message: /certificate/ })
})

t.test('one that cannot be used changes nothing', async (t) => {
  const { app, url } = await listen(t)
  for (const bad of [
    { cert: second.cert, key: first.key },
    { cert: 'x', key: second.key },
  ]) {
    t.throws(() => renewCertificate(app, bad, undefined))
    t.equal((await postOverTls(`${url}/validate`, first.ca, review)).status, 200)
  }
})

t.test('TLS below 1.2 is refused, before and after a renewal', async (t) => {
  const { app, port } = await listen(t)
  const handshake = async (version: SecureVersion): Promise<string | null> => {
    const socket: TLSSocket = connect({
      port,
      host: 'localhost',
      ca: trust,
      minVersion: version,
      maxVersion: version,
      // So that it is not the client that refuses.
      ciphers: 'DEFAULT@SECLEVEL=0',
    })
    try {
      await once(socket, 'secureConnect')
      return socket.getProtocol()
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? null
    } finally {
      socket.destroy()
    }
  }
  for (const _ of ['before', 'after']) {
    t.equal(await handshake('TLSv1.1'), 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')
    t.equal(await handshake('TLSv1.2'), 'TLSv1.2')
    t.equal(await handshake('TLSv1.3'), 'TLSv1.3')
    renew(app, undefined)
  }
})

t.test('a probe is answered by a denial that nobody else says, whatever it asks', async (t) => {
  const { url } = await listen(t)
  const agent = new Agent({ ca: trust })
  t.teardown(() => agent.destroy())
  const { uid } = requestFor(service('orders'))
  for (const [body, id] of [
    [review, uid],
    ['rubbish', ''],
  ] as const) {
    const { status, body: answer } = await postOverTls(`${url}/probe`, agent, body)
    t.equal(status, 200)
    t.match(responseIn(answer), {
      uid: id,
      allowed: false,
      status: {
        message: 'meshvip is reached: nothing is wrong, this Service is refused to prove the way to the webhook',
      },
    })
  }
})
