import { Agent } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { hopsOf } from '../../src/registration/published.ts'
import type { RegistrationOptions } from '../../src/server/live-cluster.ts'
import { serve } from '../../src/server/serve.ts'
import { type FakeApiServer, startFakeApiServer } from '../support/fake-api-server.ts'
import { postOverTls } from '../support/https.ts'
import { CapturedLog } from '../support/log.ts'
import { startMeshvip } from '../support/meshvip-process.ts'
import { service } from '../support/objects.ts'
import { certificatesOf, configurationPaths, deniedBy, hopsAt, secretOf } from '../support/registration.ts'
import { requestFor, responseIn, reviewOf } from '../support/reviews.ts'
import { shells } from '../testbed/shells.ts'

const anyPort = { host: '127.0.0.1', port: 0 }
const name = { namespace: 'default', name: 'meshvip-tls' }
const secretPath = '/api/v1/namespaces/default/secrets/meshvip-tls'
const probe = JSON.stringify(reviewOf(requestFor(service('meshvip-probe'))))

const times = {
  registrar: { interval: 20, unprovenInterval: 20, overlap: 60_000, lifetime: 60 * 60_000 },
  follower: { interval: 20, settle: 200 },
}

/** A server that is registered with a fake API server, which asks it as it is told to by then. */
const start = async (t: Test, registration: Partial<RegistrationOptions> = {}, isInstalled = true) => {
  const server = await startFakeApiServer(t)
  if (isInstalled) server.put(...shells)
  const log = new CapturedLog()
  const folder = t.testdir({ kubeconfig: server.kubeconfig })
  const serving = await serve({
    listen: anyPort,
    metricsListen: anyPort,
    kubeconfig: `${folder}/kubeconfig`,
    log,
    registration: {
      to: { service: { name: 'webhook', port: 8443 } },
      secret: 'meshvip-tls',
      selfManaged: true,
      times,
      ...registration,
    },
  })
  t.teardown(() => serving.close())
  /** What somebody is told who reaches it by the name of its Service, and trusts what is published. */
  const ask = async () => {
    const ca = hopsOf(server.get(configurationPaths.ValidatingWebhookConfiguration))[0]?.cas.map(String) ?? []
    const agent = new Agent({ ca, servername: 'webhook.default.svc' })
    t.teardown(() => agent.destroy())
    return postOverTls(`${serving.url}/probe`, agent, probe)
  }
  server.intercept = async ({ method, path }) => {
    if (method !== 'POST' || path !== '/api/v1/namespaces/default/services') return undefined
    try {
      return deniedBy('probe.meshvip.dev', String(responseIn((await ask()).body).status?.message))
    } catch (error) {
      return { status: 500, body: { message: `failed calling webhook: ${(error as Error).message}` } }
    }
  }
  const until = async (isSo: () => boolean | Promise<boolean>) => {
    while (!(await isSo())) await sleep(5)
  }
  return {
    server,
    serving,
    ask,
    until,
    ready: async () => (await fetch(`${serving.metricsURL}/readyz`)).status,
    metric: async (line: string) =>
      Number(
        new RegExp(`^${line} (\\S+)$`, 'm').exec(await (await fetch(`${serving.metricsURL}/metrics`)).text())?.[1],
      ),
    lines: (message: string) => log.lines.filter(({ msg }) => String(msg).startsWith(message)),
  }
}

const isClosed = (server: FakeApiServer): boolean =>
  hopsAt(server).filter(({ failurePolicy }) => failurePolicy === 'Fail').length === 4

t.test('a server that is registered is ready when it serves a certificate that is published', async (t) => {
  const { server, serving, ask, until, ready, metric, lines } = await start(t, {}, false)
  t.equal(serving.ca, undefined, 'there is no CA to show')
  await until(() => lines('the registration is not as it is to be').length > 0)
  t.match(lines('the registration')[0], {
    secret: 'meshvip-tls',
    err: { message: /^there is no MutatingWebhookConfiguration and no ValidatingWebhookConfiguration/ },
  })
  t.equal(await ready(), 503)
  t.strictSame([await metric('meshvip_fail_open'), server.get(secretPath)], [1, undefined])

  server.put(...shells)
  await until(async () => (await ready()) === 200)
  const failedOpen = () => lines('the webhook configurations were written').map(({ failOpen }) => failOpen)
  await until(() => failedOpen().at(-1) === false)
  t.ok(isClosed(server))
  // A look that was under way as they were made saw one of them alone, and opened that one first.
  t.match(failedOpen().join(), /^true,(true,)?false$/)
  const { leaf, ca } = certificatesOf(server.get(secretPath))
  t.equal(leaf.subjectAltName, 'DNS:webhook.default.svc, DNS:webhook.default.svc.cluster.local')
  t.strictSame(
    hopsAt(server).map(({ to, cas }) => [to, cas.map(({ fingerprint256 }) => fingerprint256)]),
    [3, 11].flatMap((count, kind) =>
      Array.from({ length: count }, (_, index) => {
        const path = kind === 0 ? '/mutate' : index === 10 ? '/probe' : '/validate'
        const to = { url: undefined, service: { namespace: 'default', name: 'webhook', port: 8443, path } }
        return [to, [ca.fingerprint256]]
      }),
    ),
  )
  t.match(lines('a certificate was made'), [{ secret: 'meshvip-tls', why: 'there is none' }])
  t.match(lines('another certificate is served'), [{ secret: 'meshvip-tls', notAfter: leaf.validToDate.toISOString() }])
  t.equal(await metric('meshvip_fail_open'), 0)
  t.equal(
    await metric('meshvip_certificate_not_after_seconds{secret="meshvip-tls"}'),
    leaf.validToDate.getTime() / 1000,
  )
  t.equal((await ask()).socket.getPeerX509Certificate()?.fingerprint256, leaf.fingerprint256)

  server.delete(secretPath)
  await until(() => lines('another certificate is served').length === 2)
  const renewed = certificatesOf(server.get(secretPath))
  t.equal((await ask()).socket.getPeerX509Certificate()?.fingerprint256, renewed.leaf.fingerprint256)
  t.equal(await ready(), 200)
})

t.test('that everything fails open is in the metrics of the one that leads, and of nobody when it ends', async (t) => {
  const { server, until, ready, metric, lines } = await start(t)
  const { intercept } = server
  server.intercept = async (request) =>
    request.path.endsWith('/services') && request.method === 'POST' ? undefined : intercept(request)
  await until(async () => (await ready()) === 200)
  await until(async () => (await metric('meshvip_fail_open')) === 1)
  await until(() => lines('the registration is not as it is to be').length > 0)
  // Another replica takes the Lease.
  const lease = '/apis/coordination.k8s.io/v1/namespaces/default/leases/meshvip'
  server.put({ ...server.get(lease), spec: { holderIdentity: 'other', leaseDurationSeconds: 60 } } as never)
  await until(async () => (await metric('meshvip_fail_open')) === 0)
  t.notOk(isClosed(server))
})

t.test('a certificate is for what the API server reaches us by', async (t) => {
  for (const [url, names] of [
    ['https://[::1]:8443', 'IP Address:0:0:0:0:0:0:0:1'],
    ['https://127.0.0.1', 'IP Address:127.0.0.1'],
    ['https://webhook.example.org:8443', 'DNS:webhook.example.org'],
  ] as const) {
    await t.test(url, async (t) => {
      const { server, until } = await start(t, { to: { url } })
      await until(() => hopsAt(server).length > 0)
      t.match(hopsAt(server)[0]?.to, { url: `${url}/mutate` })
      t.equal(certificatesOf(server.get(secretPath)).leaf.subjectAltName, names)
    })
  }
})

t.test('a certificate that somebody else makes is waited for, and served', async (t) => {
  const { server, until, ready, lines } = await start(t, { selfManaged: false }, false)
  await until(() => lines('the certificate cannot be loaded').length === 1)
  server.put({
    ...secretOf(await makeServingCertificate(['webhook.default.svc'], new Date())),
    metadata: { ...name },
  })
  await until(() => lines('the certificate cannot be loaded').length === 2)
  t.match(lines('the certificate cannot be loaded'), [
    { secret: 'meshvip-tls', err: { message: /there is none$/ } },
    { secret: 'meshvip-tls', err: { message: /^the webhook configurations do not have its CA yet/ } },
  ])
  t.equal(await ready(), 503)
  server.put(...shells)
  await until(() => isClosed(server))
  t.equal(await ready(), 200)
  t.strictSame(lines('a certificate was made'), [])
})

t.test('by its options it is registered, and answers whom it is told to', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(...shells)
  const clients = await makeServingCertificate(['webhook.default.svc'], new Date())
  const folder = t.testdir({ kubeconfig: server.kubeconfig, 'clients.crt': clients.ca })
  const meshvip = startMeshvip(t, [
    ...['serve', '--kubeconfig', `${folder}/kubeconfig`, '--listen', '127.0.0.1:0'],
    ...['--webhook-service', 'webhook', '--tls-secret', 'meshvip-tls', '--self-managed-certificates'],
    ...['--client-ca', `${folder}/clients.crt`, '--client-name', 'kube-apiserver', '--client-name', 'other'],
  ])
  const [, url = ''] = await meshvip.printed(/^meshvip listens on (https:\/\/127\.0\.0\.1:\d+)$/m)
  while (hopsAt(server).length === 0) await sleep(20)
  t.match(hopsAt(server)[0]?.to, { service: { namespace: 'default', name: 'webhook', port: 443, path: '/mutate' } })
  t.notSame(server.get(secretPath), undefined)
  const anonymous = new Agent({ rejectUnauthorized: false })
  t.teardown(() => anonymous.destroy())
  t.equal((await postOverTls(`${url}/mutate`, anonymous, probe)).status, 403)
  meshvip.kill('SIGTERM')
  t.strictSame(await meshvip.ended(), { code: 0, signal: null })
})

t.test('or at a URL, with a certificate that is made elsewhere', async (t) => {
  const server = await startFakeApiServer(t)
  const made = await makeServingCertificate(['127.0.0.1'], new Date())
  server.put(...shells, { ...secretOf(made), metadata: { namespace: 'default', name: 'elsewhere' } })
  const { resourceVersion } = server.get('/api/v1/namespaces/default/secrets/elsewhere')?.metadata ?? {}
  const folder = t.testdir({ kubeconfig: server.kubeconfig })
  const meshvip = startMeshvip(t, [
    ...['serve', '--kubeconfig', `${folder}/kubeconfig`, '--listen', '127.0.0.1:0'],
    ...['--webhook-url', 'https://127.0.0.1:443/', '--tls-secret', 'elsewhere'],
  ])
  while (hopsAt(server).length === 0) await sleep(20)
  const [hop] = hopsAt(server)
  t.match(hop?.to, { url: 'https://127.0.0.1/mutate' })
  t.strictSame(hop?.cas.map(String).join('').trim(), made.ca.trim())
  t.equal(server.get('/api/v1/namespaces/default/secrets/elsewhere')?.metadata.resourceVersion, resourceVersion)
  meshvip.kill('SIGTERM')
  t.strictSame(await meshvip.ended(), { code: 0, signal: null })
})
