import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Agent } from 'undici'
import { makeClientCertificate } from '../support/client-certificate.ts'
import { serveFor, startWebhook } from '../testbed/webhook.ts'
import { goodPorts, makeNamespace, serviceManifest, submit, testOnControlPlane, until } from './cluster.ts'

const dir = await mkdtemp(join(tmpdir(), 'meshvip-mutual-tls-'))
t.teardown(() => rm(dir, { recursive: true, force: true }))

const write = async (name: string, text: string): Promise<string> => {
  const file = join(dir, name)
  await writeFile(file, text, { mode: 0o600 })
  return file
}

const { ca, cert, key } = await makeClientCertificate('api-server')
const clientCA = await write('clients.crt', ca)

/** How the API server is told to show a certificate to webhooks, as docs/security.md has it. */
const admissionConfiguration = async (): Promise<string> => {
  const user = {
    'client-certificate': await write('client.crt', cert),
    'client-key': await write('client.key', key),
  }
  const kubeconfig = { apiVersion: 'v1', kind: 'Config', users: [{ name: '*', user }] }
  const configuration = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'WebhookAdmissionConfiguration',
    kubeConfigFile: await write('webhooks.kubeconfig', JSON.stringify(kubeconfig)),
  }
  const plugins = ['MutatingAdmissionWebhook', 'ValidatingAdmissionWebhook'].map((name) => ({ name, configuration }))
  const text = { apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AdmissionConfiguration', plugins }
  return write('admission.json', JSON.stringify(text))
}

const option = `--admission-control-config-file=${await admissionConfiguration()}`

await testOnControlPlane(
  'an API server that shows who it is',
  async (t: Test, controlPlane) => {
    const log: { msg?: string; err?: { message: string } }[] = []
    const options = { log: { write: (line: string) => log.push(JSON.parse(line)) } }
    const bad = serviceManifest('shop', 'bad', { ports: [{ name: 'http', port: 80 }] })
    const good = serviceManifest('shop', 'good', { ports: goodPorts })
    await makeNamespace(controlPlane, 'shop')

    await t.test('is not answered where its CA is another one, which refuses nothing', async (t) => {
      const other = await write('others.crt', (await makeClientCertificate('api-server')).ca)
      const webhook = await serveFor(controlPlane, { ...options, clients: { ca: other, names: [] } })
      const isSaid = () => log.some(({ err }) => err?.message.includes('does not answer this client'))
      t.ok(await until(async () => isSaid()), 'the log says why', { log })
      t.equal((await submit(controlPlane, ['create', '--dry-run=server'], bad)).code, 0)
      await webhook.close()
    })

    const webhook = await startWebhook(controlPlane, { ...options, clients: { ca: clientCA, names: ['api-server'] } })
    t.teardown(() => webhook.close())

    await t.test('is answered', async (t) => {
      const { code, stderr } = await submit(controlPlane, ['apply'], good)
      t.equal(code, 0, 'what is right is admitted', { stderr })
      t.match((await submit(controlPlane, ['apply'], bad)).stderr, 'service-port-80')
    })

    await t.test('and nobody else is', async (t) => {
      const agent = new Agent({ connect: { rejectUnauthorized: false } })
      const { statusCode, body } = await agent.request({
        origin: webhook.url,
        path: '/mutate',
        method: 'POST',
        body: '{}',
      })
      t.equal(statusCode, 403)
      t.match(await body.json(), { message: /shows no client certificate/ })
      await agent.close()
    })
  },
  { apiServerArgs: [option] },
)
