import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import {
  addressesOf,
  type Cluster,
  claimsOf,
  getObject,
  makeNamespace,
  serviceManifest,
  submit,
  testOnCluster,
  until,
} from './cluster.ts'

type Manifest = { kind: string; metadata: { namespace: string; name: string }; spec: object }

/** A Service with one port: a virtual host unless it has a selector. */
const service = (namespace: string, name: string, port = 3111, spec: object = {}): Manifest => ({
  ...serviceManifest(namespace, name, {}),
  kind: 'Service',
  metadata: { namespace, name },
  spec: { ports: [{ name: 'http-api', port }], ...spec },
})

const destination = (namespace: string, name: string, port = 3111): Manifest =>
  service(namespace, name, port, { selector: { app: name } })

const fqdn = (namespace: string, name: string): string => `${name}.${namespace}.svc.cluster.local`

/** A VirtualService that sends what comes to a port of a virtual host to the same port of its destinations, each under its name. */
const route = (namespace: string, name: string, host: string, destinations: string[], port = 3111): Manifest => ({
  ...{ apiVersion: 'networking.istio.io/v1' },
  kind: 'VirtualService',
  metadata: { namespace, name },
  spec: {
    hosts: [fqdn(namespace, host)],
    gateways: ['mesh'],
    http: destinations.map((to) => ({
      match: [{ port, uri: { prefix: `/${to}` } }],
      route: [{ destination: { host: fqdn(namespace, to), port: { number: port } } }],
    })),
  },
})

/** Makes a commit real; what was refused, if anything. */
type Sync = (commit: Manifest[]) => Promise<string | undefined>

const list = (items: Manifest[]) => ({ apiVersion: 'v1', kind: 'List', items })

/**
 * A GitOps controller, as kustomize-controller works (fluxcd/pkg ssa/manager_apply.go, sort.go): a dry run of everything; then one
 * object after the other, Services before kinds that it does not know, up to the first refusal; what is not in the commit any more is
 * deleted at last, or at first where Argo CD is not told otherwise.
 */
const controller = (cluster: Cluster, fieldManager: string, prune: 'last' | 'first' = 'last'): Sync => {
  const applying = ['apply', '--server-side', '--force-conflicts', `--field-manager=${fieldManager}`]
  let inventory: Manifest[] = []
  const pruneTo = async (commit: Manifest[]) => {
    const isIn = ({ kind, metadata }: Manifest) =>
      commit.some((one) => one.kind === kind && one.metadata.name === metadata.name)
    const obsolete = inventory.filter((one) => !isIn(one))
    if (obsolete.length > 0) await submit(cluster, ['delete'], list(obsolete))
    inventory = inventory.filter(isIn)
  }
  return async (commit) => {
    const sorted = commit.toSorted((a, b) => Number(a.kind !== 'Service') - Number(b.kind !== 'Service'))
    // kubectl refuses to do nothing.
    if (sorted.length > 0) {
      const { code, stderr } = await submit(cluster, [...applying, '--dry-run=server'], list(sorted))
      if (code !== 0) return stderr
    }
    if (prune === 'first') await pruneTo(commit)
    for (const object of sorted) {
      const { code, stderr } = await submit(cluster, applying, object)
      if (code !== 0) return stderr
      inventory.push(object)
    }
    await pruneTo(commit)
    return undefined
  }
}

/** The objects that controllers apply, and their versions. */
const versions = async (cluster: Cluster): Promise<string[]> => {
  const { items } = (await getObject(cluster, ['services,virtualservices', '-A'])) as {
    items: { kind: string; metadata: { namespace?: string; name: string; resourceVersion: string } }[]
  }
  return items.map(({ kind, metadata: { namespace, name, resourceVersion } }) =>
    [kind, namespace, name, resourceVersion].join(' '),
  )
}

/** Asserts that a commit becomes real, and that nothing is left to do. */
const settles = async (t: Test, cluster: Cluster, sync: Sync, commit: Manifest[], message: string): Promise<void> => {
  t.equal(await sync(commit), undefined, message)
  const before = await versions(cluster)
  t.equal(await sync(commit), undefined, `${message}, again`)
  t.strictSame(await versions(cluster), before, 'which changes nothing')
}

/** Asserts that a virtual host has one address, which is claimed for it, and returns it. */
const addressOf = async (t: Test, cluster: Cluster, namespace: string, name: string): Promise<string | undefined> => {
  const addresses = await addressesOf(cluster, namespace, name)
  t.equal(addresses.length, 1, `${name} has an address`)
  t.strictSame(await claimsOf(cluster, namespace, name), addresses, 'which is claimed')
  return addresses[0]
}

const exists = async (cluster: Cluster, kind: string, namespace: string, name: string): Promise<boolean> =>
  (await getObject(cluster, [kind, '-n', namespace, name])) !== undefined

/** Milliseconds after which claims are collected here, and how often they are looked for. */
const collect = { grace: 1_000, interval: 200 }

await testOnCluster(
  'what GitOps controllers apply',
  async (t, cluster) => {
    for (const fieldManager of ['kustomize-controller', 'helm-controller', 'argocd-controller']) {
      const ns = fieldManager.split('-')[0] as string
      await makeNamespace(cluster, ns)

      await t.test(
        `${fieldManager} makes a virtual host with all that belongs to it, moves and renames it`,
        async (t) => {
          const sync = controller(cluster, fieldManager)
          const commit = (port: number) => [
            route(ns, 'orders', 'orders', ['orders-read', 'orders-write'], port),
            service(ns, 'orders', port),
            destination(ns, 'orders-read', port),
            destination(ns, 'orders-write', port),
          ]
          await settles(t, cluster, sync, commit(3111), 'all of it is made')
          const address = await addressOf(t, cluster, ns, 'orders')
          await settles(t, cluster, sync, commit(3222), 'the port is moved everywhere')
          t.equal(await addressOf(t, cluster, ns, 'orders'), address)

          const services = commit(3222).slice(1)
          const [, ...destinations] = services
          const renamed = (name: string, host: string) => route(ns, name, host, ['orders-read', 'orders-write'], 3222)
          await settles(t, cluster, sync, [renamed('routes', 'orders'), ...services], 'the VirtualService is renamed')
          t.notOk(await exists(cluster, 'virtualservice', ns, 'orders'), 'the old one is gone')
          await settles(
            t,
            cluster,
            sync,
            [renamed('routes', 'sales'), service(ns, 'sales', 3222), ...destinations],
            'the virtual host is renamed',
          )
          t.notOk(await exists(cluster, 'service', ns, 'orders'), 'the old one is gone')
          t.not(await addressOf(t, cluster, ns, 'sales'), address, 'the new one has an address of its own')
          await settles(
            t,
            cluster,
            sync,
            [renamed('shop', 'shop'), service(ns, 'shop', 3222), ...destinations],
            'both are renamed',
          )
          await settles(
            t,
            cluster,
            sync,
            [route(ns, 'shop', 'shop', ['reads'], 3222), service(ns, 'shop', 3222), destination(ns, 'reads', 3222)],
            'the destinations are renamed',
          )
          await settles(t, cluster, sync, [], 'all of it is deleted')
          t.ok(await until(async () => (await claimsOf(cluster, ns, 'shop')).length === 0), 'the claim is collected')
        },
      )

      await t.test(`${fieldManager} makes an ordinary Service a virtual host, and back`, async (t) => {
        const sync = controller(cluster, fieldManager)
        const plain = [destination(ns, 'carts')]
        await settles(t, cluster, sync, plain, 'an ordinary Service')
        const split = [service(ns, 'carts'), destination(ns, 'carts-v1'), route(ns, 'carts', 'carts', ['carts-v1'])]
        await settles(t, cluster, sync, split, 'becomes a virtual host')
        await addressOf(t, cluster, ns, 'carts')
        await settles(t, cluster, sync, plain, 'and an ordinary Service again')
        t.strictSame(await addressesOf(cluster, ns, 'carts'), [], 'which has no address')
      })

      await t.test(`${fieldManager} brings in two charts that name each other's Services`, async (t) => {
        const chart = (name: string, other: string) => [
          service(ns, name),
          destination(ns, `${name}-read`),
          route(ns, name, name, [`${name}-read`, `${other}-read`]),
        ]
        const [first, second] = [chart('first', 'second'), chart('second', 'first')]
        const [syncFirst, syncSecond] = [controller(cluster, fieldManager), controller(cluster, fieldManager)]
        const refused = await syncFirst(first)
        t.match(refused, `there is no Service ${ns}/second-read`, 'the first is refused its VirtualService')
        t.match(refused, '[virtualservice-destination-unknown]')
        for (const name of ['first', 'first-read']) t.ok(await exists(cluster, 'service', ns, name), `${name} is there`)
        await settles(t, cluster, syncSecond, second, 'the second is applied')
        await settles(t, cluster, syncFirst, first, 'the first is applied at the next attempt')
        for (const name of ['first', 'second']) await addressOf(t, cluster, ns, name)
      })
    }

    await makeNamespace(cluster, 'picked')
    const picked = (name: string, spec: object = { externalIPs: ['240.240.3.1'] }) => [
      service('picked', name, 3111, spec),
      destination('picked', 'read'),
      route('picked', 'routes', name, ['read']),
    ]

    await t.test('a virtual host that is renamed does not take the address along that was picked for it', async (t) => {
      const sync = controller(cluster, 'kustomize-controller')
      await settles(t, cluster, sync, picked('old'), 'it has it')
      const refused = await sync(picked('new'))
      t.match(refused, '240.240.3.1 belongs to Service picked/old')
      t.match(refused, 'Fix: leave externalIPs out')
      await settles(t, cluster, sync, picked('new', {}), 'without it is renamed')
      await addressOf(t, cluster, 'picked', 'new')
      await settles(t, cluster, sync, [], 'all of it is deleted')
    })

    await t.test('unless the old one is deleted first, and its claim was collected', async (t) => {
      const sync = controller(cluster, 'argocd-controller', 'first')
      const becomes = (name: string) => until(async () => (await sync(picked(name))) === undefined)
      t.ok(await becomes('former'), 'it has it')
      t.match(await sync(picked('later')), '240.240.3.1 is still claimed for Service picked/former, which is not there')
      t.ok(await becomes('later'), 'a later attempt passes')
      t.equal(await addressOf(t, cluster, 'picked', 'later'), '240.240.3.1')
    })
  },
  async () => ({ collect }),
)

/** Two misspelt names, and what is said of them. */
const misspelt: [string, Manifest, string][] = [
  ['host', route('shop', 'wrong', 'oders', ['orders-read']), 'there is no Service shop/oders'],
  ['destination', route('shop', 'wrong', 'orders', ['oders-read']), 'there is no Service shop/oders-read'],
]

for (const missing of ['warn', 'deny'] as const) {
  await testOnCluster(
    `a dry run with dryRun.missing: ${missing}`,
    async (t, cluster) => {
      await makeNamespace(cluster, 'shop')
      const services = [service('shop', 'orders'), destination('shop', 'orders-read')]
      t.equal((await submit(cluster, ['apply'], list(services))).code, 0, 'the Services are there')
      const batch = ['apply', '--server-side', '--field-manager=kustomize-controller']
      for (const [who, apply] of [
        ['somebody', ['apply']],
        ['a controller', batch],
      ] as const) {
        for (const [what, manifest, text] of misspelt) {
          await t.test(`of ${who} ${missing === 'warn' ? 'warns of' : 'refuses'} a misspelt ${what}`, async (t) => {
            const { code, stderr } = await submit(cluster, [...apply, '--dry-run=server'], manifest)
            t.equal(code, missing === 'warn' ? 0 : 1)
            t.match(stderr, text)
            const note = 'refused unless the missing object is applied first'
            t.equal(stderr.includes(note), missing === 'warn', 'which says whether it could pass', { stderr })
          })
        }
        await t.test(`of ${who} lets pass what has its Services`, async (t) => {
          const good = route('shop', 'right', 'orders', ['orders-read'])
          const { code, stderr } = await submit(cluster, [...apply, '--dry-run=server'], good)
          t.equal(code, 0, 'it passes', { stderr })
          t.notMatch(stderr, 'Warning')
        })
      }
      await t.test('of somebody refuses what contradicts a Service, and of a controller warns', async (t) => {
        const moved = route('shop', 'moved', 'orders', ['orders-read'], 3222)
        const own = await submit(cluster, ['apply', '--dry-run=server'], moved)
        t.match([own.code, own.stderr], [1, /no host has port 3222/])
        const { code, stderr } = await submit(cluster, [...batch, '--dry-run=server'], moved)
        t.match([code, stderr], [0, /no host has port 3222.*refused unless the other object is changed as well/])
      })
    },
    async ({ dir }) => {
      if (missing === 'warn') return {}
      const config = join(dir, 'meshvip.yaml')
      await writeFile(config, 'dryRun: { missing: deny }')
      return { config }
    },
  )
}
