import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runHere } from '../support/command-line.ts'
import { claim, serviceEntry } from '../support/objects.ts'
import {
  addressesOf,
  admits,
  type Cluster,
  goodPorts,
  makeNamespace,
  serviceManifest,
  testOnCluster,
  withoutWebhooks,
} from './cluster.ts'

const virtualHost = (namespace: string, name: string, address?: string) =>
  serviceManifest(namespace, name, {
    ports: goodPorts,
    ...(address === undefined ? {} : { externalIPs: [address] }),
  })

/** Endpoints that somebody made by hand. */
const endpoints = (namespace: string, name: string) => ({
  apiVersion: 'v1',
  kind: 'Endpoints',
  metadata: { namespace, name },
  subsets: [{ addresses: [{ ip: '198.51.100.8' }], ports: [{ name: 'http-api', port: 3111 }] }],
})

const vips = async (kubeconfig: string, ...args: string[]) => {
  const { code, out, err } = await runHere('vips', '--kubeconfig', kubeconfig, ...args)
  return { code, out, problems: err.split('\n').slice(0, -1) }
}

/** The addresses with their states and owners. */
const rows = ({ out }: { out: string }): string[] =>
  out
    .split('\n')
    .slice(4, -1)
    .map((line) => line.split(/ {3,}/))
    .map(([address, , owner, , state]) => `${address} ${state} ${owner}`)

/** A kubeconfig of a user who may do what a ClusterRole of this name says. */
const kubeconfigOf = async (cluster: Cluster, user: string, rules: object[]): Promise<string> => {
  const kubectl = async (...args: string[]) => {
    const { code, stdout, stderr } = await cluster.kubectl(args)
    if (code !== 0) throw new Error(stderr)
    return stdout.trim()
  }
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: user }, rules }
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(role) })
  await kubectl('create', 'serviceaccount', user, '-n', 'default')
  await kubectl('create', 'clusterrolebinding', user, `--clusterrole=${user}`, `--serviceaccount=default:${user}`)
  const config = JSON.parse(await readFile(cluster.kubeconfig, 'utf8'))
  config.users[0].user = { token: await kubectl('create', 'token', user, '-n', 'default') }
  const file = join(cluster.dir, user)
  await writeFile(file, JSON.stringify(config))
  return file
}

const lists = (apiGroups: string[], resources: string[]) => ({ apiGroups, resources, verbs: ['get', 'list'] })

await testOnCluster('meshvip vips', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')
  await makeNamespace(cluster, 'payments')
  await admits(t, cluster, virtualHost('shop', 'orders'), 'a virtual host')
  const [own] = await addressesOf(cluster, 'shop', 'orders')

  await t.test('a cluster in order ends well', async (t) => {
    await admits(t, cluster, serviceEntry('bank', ['240.240.0.1']), 'a ServiceEntry')
    const found = await vips(cluster.kubeconfig)
    t.strictSame(rows(found), ['240.240.0.1 foreign ServiceEntry shop/bank', `${own} held shop/orders`])
    t.strictSame([found.code, found.problems], [0, []])
  })

  const orphan = claim('240.240.0.9', 'shop/gone')
  await withoutWebhooks(cluster, 'all', async () => {
    for (const namespace of ['shop', 'payments'])
      await admits(t, cluster, virtualHost(namespace, 'pasted', '240.240.0.7'), 'nobody is asked')
    await admits(t, cluster, virtualHost('shop', 'returns', '192.0.2.7'), 'nobody is asked')
    await admits(t, cluster, virtualHost('shop', 'printer', '192.0.2.8'), 'nobody is asked')
  })
  await admits(t, cluster, endpoints('shop', 'printer'), 'something stands behind the printer')
  await admits(t, cluster, orphan, 'a claim of nobody, just now')

  const shown = [
    '192.0.2.7 outside shop/returns',
    '240.240.0.1 foreign ServiceEntry shop/bank',
    '240.240.0.7 duplicate payments/pasted, shop/pasted',
    '240.240.0.9 orphaned shop/gone',
    `${own} held shop/orders`,
  ]

  await t.test('what went wrong while nobody was asked is shown and told', async (t) => {
    const found = await vips(cluster.kubeconfig)
    t.strictSame(rows(found), shown)
    t.equal(found.code, 1)
    t.match(found.problems, [/^meshvip: 1 address is duplicate \(240\.240\.0\.7\)/, /is outside \(192\.0\.2\.7\)/])
    t.equal(found.problems.length, 2, 'a claim of a moment ago may be orphaned')
  })

  await t.test('a claim that should have been collected long ago is told, too', async (t) => {
    const annotations = { 'meshvip.dev/claimed-at': new Date(Date.now() - 660_000).toISOString() }
    await admits(t, cluster, { ...orphan, metadata: { ...orphan.metadata, annotations } }, 'it is claimed since')
    const found = await vips(cluster.kubeconfig, '--state', 'orphaned', '-o', 'wide')
    t.match(found.out, /^240\.240\.0\.9 .* 11m +orphaned .* Service shop\/gone +wait some minutes/m)
    t.match(found, { code: 1, problems: [/^meshvip: 1 address is orphaned \(240\.240\.0\.9\)/] })
  })

  await t.test('of what is well alone it ends well', async (t) => {
    const { code, problems } = await vips(cluster.kubeconfig, '--state', 'held')
    t.strictSame([code, problems], [0, []])
  })

  await t.test('the rights that the documentation names are enough, and one less is said', async (t) => {
    const enough = [
      lists([''], ['services', 'namespaces', 'endpoints']),
      lists(['discovery.k8s.io'], ['endpointslices']),
      lists(['networking.k8s.io'], ['ipaddresses']),
    ]
    const istio = lists(['networking.istio.io'], ['serviceentries'])
    t.strictSame(rows(await vips(await kubeconfigOf(cluster, 'reader', [...enough, istio]))), shown)
    const lacking = await vips(await kubeconfigOf(cluster, 'lacking', enough))
    t.strictSame([lacking.code, lacking.out], [2, ''])
    t.match(lacking.problems, [
      /^meshvip: cannot read the cluster https:\S+: GET .*: 403 serviceentries\S* is forbidden: /,
    ])
  })
})
