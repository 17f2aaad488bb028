import { writeFile } from 'node:fs/promises'
import type { Test } from 'tap'
import { type Serving, serve } from '../../src/server/serve.ts'
import { startMeshvip } from '../support/meshvip-process.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { apply, register } from '../testbed/webhook.ts'
import { claims, serviceManifest, submit, testOnCluster, testOnControlPlane, until } from './cluster.ts'

type Line = Record<string, unknown>

const plugin = 'the admission plugin DenyServiceExternalIPs is on'
const deprecated = /^on Kubernetes v1\.\d+\S* (spec\.externalIPs is deprecated|kube-proxy does nothing)/

/** What a start says of the cluster: its log lines up to the one on the version, which comes with all the others. */
const said = async (log: readonly Line[]): Promise<Line[]> => {
  const isSaid = await until(async () => log.some(({ msg }) => deprecated.test(String(msg))))
  if (!isSaid) throw new Error(`nothing is said of the version: ${JSON.stringify(log)}`)
  return log.filter(({ msg }) => /^(the pool|the admission plugin|whether|on Kubernetes) /.test(String(msg)))
}

/** Starts meshvip in this process, registered or not. */
const start = async (t: Test, kubeconfig: string): Promise<{ serving: Serving; log: Line[] }> => {
  const log: Line[] = []
  const listen = { host: '127.0.0.1', port: 0 }
  const serving = await serve({ listen, kubeconfig, log: { write: (line) => log.push(JSON.parse(line)) } })
  t.teardown(() => serving.close())
  return { serving, log }
}

const istiod = {
  level: 30,
  msg: 'the pool 240.240.0.0/16 overlaps 240.240.0.0/16, out of which istiod gives addresses',
}
const version = { level: 40, msg: deprecated }

/** Waits until our webhook, which is down, is asked about Services, and must be. */
const untilMissed = async (controlPlane: ControlPlane): Promise<void> => {
  const labels = { 'meshvip.dev/virtual-host': 'true' }
  const manifest = serviceManifest('default', 'probe', { ports: [{ name: 'http', port: 8080 }] }, { labels })
  const isMissed = await until(async () => {
    const { stderr } = await submit(controlPlane, ['create', '--dry-run=server'], manifest)
    return stderr.includes('failed calling webhook')
  })
  if (!isMissed) throw new Error('the API server does not miss the webhook')
}

await testOnCluster('what a start checks', async (t, cluster) => {
  await t.test(
    'of a cluster as it comes it says where istiod is, too, and that externalIPs are deprecated',
    async (t) => {
      t.match(await said(cluster.log), [istiod, version])
      t.equal((await said(cluster.log)).length, 2)
    },
  )

  await t.test(
    'a webhook that stands is asked about the dry run, and neither it nor a claim is in the way',
    async (t) => {
      const asked = () => cluster.log.filter(({ object }) => object === 'default/meshvip-external-ips')
      const before = asked().length
      const { log } = await start(t, cluster.kubeconfig)
      const lines = await said(log)
      t.match(lines, [istiod, version])
      t.equal(lines.length, 2)
      t.ok(asked().length > before, 'it is asked')
      for (const line of asked()) t.match(line, { verdict: 'allowed', dryRun: true })
      t.strictSame(await claims(cluster), [])
      const services = await cluster.kubectl(['get', 'services', '-A', '-o', 'name'])
      t.equal(services.stdout, 'service/kubernetes\n', 'nothing is left of it')
    },
  )

  const args = (config: string) => [
    ...['serve', '--kubeconfig', cluster.kubeconfig, '--config', config],
    ...['--listen', '127.0.0.1:0'],
  ]
  const pool = (cidr: string) => `pools: [{ cidr: ${cidr} }]`

  await t.test('a pool out of which Kubernetes gives cluster IPs ends the start', async (t) => {
    const folder = t.testdir({ 'meshvip.yaml': pool('10.97.8.0/24') })
    const meshvip = startMeshvip(t, args(`${folder}/meshvip.yaml`))
    t.strictSame(await meshvip.ended(), { code: 2, signal: null })
    t.equal(
      meshvip.stderr,
      'meshvip: the pool 10.97.8.0/24 overlaps the ServiceCIDR kubernetes (10.97.0.0/16), where Kubernetes itself hands out and ' +
        'repairs the addresses, so that one could have two owners: write `pools: [{ cidr: RANGE }]` in the file of --config, with ' +
        'a RANGE outside 10.97.0.0/16\n',
    )
    t.equal(meshvip.stdout, '')
  })

  await t.test('a ServiceCIDR that is new is heeded when the configuration changes', async (t) => {
    const config = `${t.testdir({ 'meshvip.yaml': pool('10.98.0.0/24') })}/meshvip.yaml`
    const meshvip = startMeshvip(t, args(config))
    await meshvip.printed(/^meshvip listens on /m)
    const metadata = { name: 'more' }
    const more = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata,
      spec: { cidrs: ['10.99.0.0/16'] },
    }
    await apply(cluster, JSON.stringify(more))
    await writeFile(config, pool('10.99.7.0/24'))
    await meshvip.printed(/^.*the configuration cannot be used; the one in force stays.*\n/m)
    await writeFile(config, pool('10.100.0.0/24'))
    await meshvip.printed(/^.*the configuration was loaded anew.*\n/m)
    t.match(
      meshvip.log.filter(({ msg }) => /^the configuration /.test(String(msg))),
      [
        {
          level: 50,
          err: { type: 'UsageError', message: 'the pool 10.99.7.0/24 overlaps the ServiceCIDR more (10.99.0.0/16)' },
        },
        { level: 30 },
      ],
    )
  })

  await t.test('without the rights to look it starts, and says which are missing', async (t) => {
    t.equal((await cluster.kubectl(['create', 'serviceaccount', 'nobody'])).code, 0)
    const { stdout: token } = await cluster.kubectl(['create', 'token', 'nobody'])
    const view = await cluster.kubectl(['config', 'view', '--raw', '-o', 'json'])
    const config = JSON.parse(view.stdout)
    config.users[0].user = { token: token.trim() }
    const folder = t.testdir({ kubeconfig: JSON.stringify(config) })
    const { log } = await start(t, `${folder}/kubeconfig`)
    const rights = [
      'let us list servicecidrs of networking.k8s.io (a ClusterRole), and start again',
      'let us create services in the namespace default (a Role; it is only ever a dry run)',
    ]
    t.match(await said(log), [...rights.map((msg) => ({ level: 40, msg, err: { status: 403 } })), istiod, version])
  })

  await t.test('while our webhook is down it is not known whether external IPs are denied', async (t) => {
    await cluster.webhook.close()
    await untilMissed(cluster)
    const { log } = await start(t, cluster.kubeconfig)
    const msg = /^whether the admission plugin DenyServiceExternalIPs is on, .*, could not be checked: /
    t.match(await said(log), [{ level: 40, msg, err: { message: 'failed calling webhook' } }, istiod, version])
  })
})

await testOnControlPlane(
  'where the admission plugin DenyServiceExternalIPs is on, a start says so',
  async (t, controlPlane) => {
    const expected = [{ level: 40, msg: plugin }, istiod, version]
    const { serving, log } = await start(t, controlPlane.kubeconfig)
    t.match(await said(log), expected)
    await register(controlPlane, serving.url, serving.ca?.pem ?? '')
    await serving.close()
    await untilMissed(controlPlane)
    const { log: again } = await start(t, controlPlane.kubeconfig)
    t.match(await said(again), expected, 'also while our webhook is registered and down')
  },
  { apiServerArgs: ['--enable-admission-plugins=DenyServiceExternalIPs'] },
)
