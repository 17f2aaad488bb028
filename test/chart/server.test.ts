import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { hopsOf } from '../../src/registration/published.ts'
import { formatHostPort } from '../../src/server/host-port.ts'
import { type Api, openApi } from '../e2e/api.ts'
import { claims, goodPorts, makeNamespace, serviceManifest, submit, until } from '../e2e/cluster.ts'
import { freeListeners, Instance, type Listeners, startReplica } from '../e2e/instances.ts'
import { startMeshvip } from '../support/meshvip-process.ts'
import { type Balancer, startBalancer } from '../testbed/balancer.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { apply } from '../testbed/webhook.ts'
import {
  type Charting,
  chartFolder,
  type Helm,
  helms,
  type Manifest,
  namespace,
  testChartOnControlPlane,
} from './chart.ts'

const secret = 'meshvip-tls'
const registrationPath = '/apis/admissionregistration.k8s.io/v1'
const ourKinds = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const

/** A kubeconfig with a token of the chart's ServiceAccount and nothing else, as a pod has it. */
const kubeconfigOfPod = async ({ kubeconfig, kubectl, dir }: ControlPlane): Promise<string> => {
  const { stdout, stderr } = await kubectl(['create', 'token', 'meshvip', '-n', namespace, '--duration=1h'])
  if (stderr !== '') throw new Error(stderr)
  const config = JSON.parse(await readFile(kubeconfig, 'utf8'))
  config.users[0].user = { token: stdout.trim() }
  config.contexts[0].context.namespace = namespace
  const file = join(dir, 'kubeconfig-of-pod')
  await writeFile(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

/** The arguments of the Deployment, of a pod that is reached by a URL and not by the Service. */
const argsOfPod = async (chart: Charting, { dir }: ControlPlane, kubeconfig: string, url: string, own: Listeners) => {
  const manifests = await chart.render('helm4')
  const [deployment, configMap] = ['Deployment', 'ConfigMap'].map((kind) => manifests.find((one) => one.kind === kind))
  const config = join(dir, 'config.yaml')
  await writeFile(config, (configMap as Manifest & { data: Record<string, string> }).data['config.yaml'] ?? '')
  const { args } = (deployment as Manifest & { spec: { template: { spec: { containers: { args: string[] }[] } } } })
    .spec.template.spec.containers[0] as { args: string[] }
  const replaced: Record<string, [flag: string, value: string]> = {
    '--config': ['--config', config],
    '--listen': ['--listen', formatHostPort(own.listen)],
    '--metrics-listen': ['--metrics-listen', formatHostPort(own.metricsListen)],
    '--webhook-service': ['--webhook-url', url],
  }
  const words = args.flatMap((arg) => arg.split('='))
  const isReplaced = new Set<string>()
  const theirs = words.flatMap((word, index) => {
    const before = words[index - 1] ?? ''
    if (before in replaced) return []
    if (word in replaced) isReplaced.add(word)
    return replaced[word] ?? [word]
  })
  return { args: [...theirs, '--kubeconfig', kubeconfig], isReplaced: [...isReplaced].sort() }
}

const failsClosed = async (api: Api): Promise<boolean> => {
  const { text } = await api.send('GET', `${registrationPath}/validatingwebhookconfigurations/meshvip`)
  return hopsOf(JSON.parse(text)).some(
    ({ name, failurePolicy }) => name === 'virtual-hosts.meshvip.dev' && failurePolicy === 'Fail',
  )
}

const bad = serviceManifest('shop', 'bad', { ports: [{ name: 'http', port: 80 }] })

/** Two replicas by the chart's rights: the first leads, and is in more of a hurry than others. */
const startReplicas = async (t: Test, chart: Charting, controlPlane: ControlPlane) => {
  const kubeconfig = await kubeconfigOfPod(controlPlane)
  const [ofFirst, ofSecond] = (await freeListeners(2)) as [Listeners, Listeners]
  let balancer: Balancer
  let args: string[] = []
  const times = { registrar: { interval: 1_000, unprovenInterval: 500 }, follower: { interval: 500 } }
  const first = new Instance(ofFirst, () => {
    const registration = { to: { url: balancer.url }, secret, selfManaged: true, times }
    return startReplica(t, { kubeconfig, ...ofFirst, collect: { interval: 500, grace: 1_000 }, registration })
  })
  const second = new Instance(ofSecond, () => startMeshvip(t, [...args, '--drain', '2']))
  const instances: [Instance, Instance] = [first, second]
  balancer = await startBalancer(instances)
  t.teardown(() => balancer.stop())
  const ofPod = await argsOfPod(chart, controlPlane, kubeconfig, balancer.url, ofSecond)
  args = ofPod.args
  t.strictSame(ofPod.isReplaced, ['--config', '--listen', '--metrics-listen', '--webhook-service'], 'of the Deployment')
  for (const instance of instances) await instance.start()
  await Promise.all(instances.map((instance) => balancer.until(instance, true)))
  return { instances, kubeconfig }
}

/** What the API server would not let us do, of the log lines of all that there were. */
const forbidden = (instances: Instance[]): string[] =>
  instances
    .flatMap(({ processes }) => processes.flatMap(({ log }) => log))
    .map((line) => JSON.stringify(line))
    .filter((line) => /forbidden|\b403\b|cannot (get|list|watch|create|patch|delete)/i.test(line))

const beyond: [method: 'DELETE' | 'GET' | 'PATCH' | 'POST', path: string][] = [
  ['GET', '/api/v1/secrets'],
  ['GET', `/api/v1/namespaces/${namespace}/secrets`],
  ['GET', `/api/v1/namespaces/${namespace}/secrets/another`],
  ['GET', '/api/v1/namespaces/kube-system/secrets/another'],
  ['DELETE', `/api/v1/namespaces/${namespace}/secrets/${secret}`],
  ['POST', '/api/v1/namespaces/shop/secrets'],
  ['GET', `/api/v1/namespaces/${namespace}/configmaps`],
  ['GET', '/api/v1/pods'],
  ['GET', '/api/v1/nodes'],
  ['POST', '/api/v1/namespaces/shop/services'],
  ['PATCH', '/api/v1/namespaces/shop/services/orders'],
  ['DELETE', '/api/v1/namespaces/shop/services/orders'],
  ['PATCH', '/api/v1/namespaces/shop'],
  ['POST', '/apis/networking.istio.io/v1/namespaces/shop/virtualservices'],
  ['DELETE', '/apis/networking.istio.io/v1/namespaces/shop/virtualservices/orders'],
  ['POST', '/apis/networking.k8s.io/v1/servicecidrs'],
  ['GET', '/apis/coordination.k8s.io/v1/leases'],
  ['PATCH', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/another`],
  ['DELETE', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/meshvip`],
  ['PATCH', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/meshvip'],
  ...ourKinds.flatMap((kind): [method: 'DELETE' | 'GET' | 'PATCH' | 'POST', path: string][] => [
    ['GET', `${registrationPath}/${kind}`],
    ['GET', `${registrationPath}/${kind}/istiod`],
    ['PATCH', `${registrationPath}/${kind}/istiod`],
    ['POST', `${registrationPath}/${kind}`],
    ['DELETE', `${registrationPath}/${kind}/meshvip`],
  ]),
  ['DELETE', `${registrationPath}/validatingadmissionpolicies/meshvip`],
  ['PATCH', '/apis/rbac.authorization.k8s.io/v1/clusterroles/meshvip'],
  ['GET', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'],
]

const install = async (t: Test, { helm }: Charting, which: Helm, { kubeconfig }: ControlPlane, args: string[]) => {
  const { code, stderr } = await helm(which, [...args, '-n', namespace], undefined, kubeconfig)
  t.equal(code, 0, `${which} ${args[0]}`, { stderr })
}

for (const which of helms) {
  await testChartOnControlPlane(
    `installed by ${which}, it works by the rights of the chart`,
    async (t, chart, cluster) => {
      const admin = openApi(cluster)
      t.teardown(() => admin.close())
      await makeNamespace(cluster, 'shop')
      // From before it was installed: two with one address, which nobody claimed.
      const twins = ['first', 'second'].map((name) =>
        serviceManifest('shop', name, { ports: goodPorts, externalIPs: ['240.240.7.7'] }),
      )
      for (const twin of twins) await apply(cluster, JSON.stringify(twin))

      await install(t, chart, which, cluster, ['install', 'meshvip', chartFolder, '--create-namespace'])
      t.equal(
        (await submit(cluster, ['create', '--dry-run=server'], bad)).code,
        0,
        'while no pod runs nothing is refused',
      )

      const { instances, kubeconfig } = await startReplicas(t, chart, cluster)
      const [first, second] = instances
      t.ok(await until(() => failsClosed(admin)), 'proved to be reached, it fails closed')

      await t.test('every function works', async (t) => {
        t.match((await submit(cluster, ['apply'], bad)).stderr, 'service-port-80', 'it refuses')
        const orders = serviceManifest('shop', 'orders', { ports: goodPorts })
        t.equal((await submit(cluster, ['apply'], orders)).code, 0, 'it admits')
        const claim = async () => (await claims(cluster as never)).find((line) => line.endsWith(' shop/orders'))
        t.match(await claim(), /^240\.240\./, 'it gives an address')
        const adopted = async () => (await claims(cluster as never)).includes('240.240.7.7 shop/first')
        t.ok(await until(adopted), 'it adopts an address that was there')
        const events = async () => (await admin.send('GET', '/apis/events.k8s.io/v1/namespaces/shop/events')).text
        t.ok(await until(async () => (await events()).includes('AddressDuplicate')), 'it tells who shares one')
        await cluster.kubectl(['delete', 'service', 'orders', '-n', 'shop'])
        t.ok(await until(async () => (await claim()) === undefined), 'it collects what nobody needs')
        for (const [kind, name] of [
          ['secret', secret],
          ['lease', 'meshvip'],
        ] as const) {
          await cluster.kubectl(['delete', kind, name, '-n', namespace])
          const isBack = async () => (await cluster.kubectl(['get', kind, name, '-n', namespace])).code === 0
          t.ok(await until(isBack), `it makes its ${kind} again`)
        }
        t.strictSame(forbidden(instances), [], 'and nothing that it tried was forbidden')
      })

      await t.test('and nothing beyond', async (t) => {
        const ours = openApi({ ...cluster, kubeconfig })
        t.teardown(() => ours.close())
        for (const [method, path] of beyond) {
          const { status } = await ours.send(method, path, method === 'GET' ? undefined : {})
          t.equal(status, 403, `${method} ${path}`)
        }
      })

      await t.test('an upgrade leaves it closed', async (t) => {
        const generation = async (kind: (typeof ourKinds)[number]) =>
          JSON.parse((await admin.send('GET', `${registrationPath}/${kind}/meshvip`)).text).metadata.generation
        const before = await Promise.all(ourKinds.map(generation))
        await install(t, chart, which, cluster, ['upgrade', 'meshvip', chartFolder, '--set', 'labels.a=b'])
        t.ok(await failsClosed(admin))
        await sleep(2_500)
        t.strictSame(await Promise.all(ourKinds.map(generation)), before, 'and nothing had to be written again', {
          log: instances.map(({ running }) => running.log.filter(({ webhook }) => webhook === undefined)),
        })
      })

      await t.test('uninstalled while no pod answers, it refuses nothing and leaves nothing behind', async (t) => {
        for (const { running } of [first, second]) {
          running.kill('SIGKILL')
          await running.ended()
        }
        const blocked = async () =>
          (await submit(cluster, ['apply'], serviceManifest('shop', 'a', { ports: goodPorts }))).stderr
        t.ok(
          await until(async () => (await blocked()).includes('failed calling webhook')),
          'what must be judged is stopped',
        )
        await install(t, chart, which, cluster, ['uninstall', 'meshvip'])
        t.ok(await until(async () => (await blocked()) === ''), 'and is admitted at once')
        const left = await cluster.kubectl([
          ...[
            'get',
            'secrets,leases,configmaps,deployments,services,serviceaccounts,roles,rolebindings',
            '-n',
            namespace,
          ],
          ...['-o', 'name'],
        ])
        t.strictSame(
          left.stdout.split('\n').filter((name) => name !== '' && !name.includes('kube-root-ca.crt')),
          [],
          'nothing is left in its namespace',
        )
        const kinds =
          'validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies,clusterroles,clusterrolebindings'
        const { stdout } = await cluster.kubectl(['get', kinds, '-o', 'name'])
        t.strictSame(
          stdout.split('\n').filter((name) => name.includes('meshvip')),
          [],
          'nor in the cluster',
        )
        t.match(await claims(cluster as never), ['240.240.7.7 shop/first'], 'but claims, which Services need')
      })
    },
  )
}
