import type { Test } from 'tap'
import {
  addressesOf,
  admits,
  type Cluster,
  claims,
  getObject,
  goodPorts,
  makeNamespace,
  serviceManifest,
  submit,
  testOnCluster,
  withoutWebhooks,
} from './cluster.ts'

const virtualService = (version: string, name: string, spec: object) => ({
  apiVersion: `networking.istio.io/${version}`,
  kind: 'VirtualService',
  metadata: { namespace: 'shop', name },
  spec,
})

/** The hops that the API server made for an object, in their order. */
const hops = (cluster: Cluster, object: string): string[] =>
  cluster.log.filter((line) => line.object === object && line.dryRun === false).map(({ webhook }) => String(webhook))

const refuses = async (t: Test, cluster: Cluster, args: string[], manifest: object, pattern: RegExp): Promise<void> => {
  const { code, stderr } = await submit(cluster, args, manifest)
  t.equal(code, 1, 'it is refused')
  t.match(stderr, pattern)
}

await testOnCluster('how requests come and go', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')

  await t.test('each object makes one hop to each webhook that it concerns', async (t) => {
    await admits(t, cluster, serviceManifest('shop', 'orders', { ports: goodPorts }), 'a virtual host')
    t.strictSame(hops(cluster, 'shop/orders'), ['mutate', 'validate'])
    const labels = { 'meshvip.dev/virtual-host': 'true' }
    await admits(t, cluster, serviceManifest('shop', 'labelled', { ports: goodPorts }, { labels }), 'by label')
    t.strictSame(hops(cluster, 'shop/labelled'), ['mutate', 'validate'])
    const picked = { ports: goodPorts, externalIPs: ['240.240.0.5'] }
    await admits(t, cluster, serviceManifest('shop', 'picked', picked), 'by hand')
    t.strictSame(hops(cluster, 'shop/picked'), ['mutate', 'validate'])
    await admits(
      t,
      cluster,
      serviceManifest('shop', 'ordinary', { selector: { app: 'a' }, ports: goodPorts }),
      'ordinary',
    )
    t.strictSame(hops(cluster, 'shop/ordinary'), ['validate'])
  })

  await t.test('what was there before the installation can still be changed', async (t) => {
    const old = (name: string, spec: object, note: string) =>
      serviceManifest('shop', name, spec, { annotations: { note } })
    const port80 = { ports: [{ name: 'http', port: 80 }] }
    const twin = { ports: goodPorts, externalIPs: ['240.240.0.20'] }
    await withoutWebhooks(cluster, 'all', async () => {
      for (const manifest of [old('old', port80, 'a'), old('twin-a', twin, 'a'), old('twin-b', twin, 'a')]) {
        await admits(t, cluster, manifest, 'it is there')
      }
    })
    await admits(t, cluster, old('old', port80, 'b'), 'its annotations')
    const more = { ports: [...port80.ports, { name: 'http-more', port: 8080 }] }
    const { code, stderr } = await submit(cluster, ['apply'], old('old', more, 'b'))
    t.equal(code, 0, 'its ports', { stderr })
    t.match(stderr, /port 80 is not for virtual hosts.*\(it was so before\)/, 'with a warning')
    await admits(t, cluster, old('twin-a', { ...twin, ports: more.ports.slice(1) }, 'b'), 'one of two with one address')

    const healed = { ports: goodPorts }
    const replaced = await submit(cluster, ['replace'], serviceManifest('shop', 'twin-b', healed))
    t.equal(replaced.code, 0, 'the other one gives the address up', { stderr: replaced.stderr })
    const [a, b] = [await addressesOf(cluster, 'shop', 'twin-a'), await addressesOf(cluster, 'shop', 'twin-b')]
    t.strictSame([a, b.length], [['240.240.0.20'], 1])
    t.notSame(a, b, 'and gets one of its own')
  })

  await t.test('VirtualServices of every served version are judged', async (t) => {
    const http = [{ match: [{ port: 9 }], route: [{ destination: { host: 'ordinary', port: { number: 3111 } } }] }]
    for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
      const spec = { hosts: ['orders'], gateways: ['mesh'], http }
      await refuses(t, cluster, ['create'], virtualService(version, `of-${version}`, spec), /no host has port 9/)
    }
  })

  await t.test('what the API server refuses after mutation leaves no claim of a name that cannot be', async (t) => {
    const before = await claims(cluster)
    await submit(cluster, ['create'], serviceManifest('shop', 'Not_A_Name', { ports: goodPorts }))
    await submit(cluster, ['create'], serviceManifest('shop', 'x'.repeat(70), { ports: goodPorts }))
    await submit(cluster, ['create'], serviceManifest('shop', 'portless', { ports: [] }))
    t.strictSame(await claims(cluster), before)
  })

  await t.test('the mistakes of the examples are refused', async (t) => {
    await cluster.kubectl(['apply', '-f', 'examples/orders/destinations.yaml'])
    const { code, stderr } = await cluster.kubectl(['apply', '-f', 'examples/mistakes.yaml'])
    t.equal(code, 1)
    for (const rule of [
      'service-port-80',
      'service-port-name',
      'virtualservice-host-form',
      'virtualservice-destination-form',
    ]) {
      t.match(stderr, `[${rule}]`)
    }
  })

  await t.test('of deletions those of Services in the mesh are told, once, if somebody asks for them', async (t) => {
    const labels = { 'meshvip.dev/virtual-host': 'true' }
    const plain = { selector: { app: 'a' }, ports: goodPorts }
    await makeNamespace(cluster, 'revision', { 'istio.io/rev': 'canary' })
    await makeNamespace(cluster, 'outside', {})
    const told: [string, string, (object | undefined)?, object?][] = [
      ['shop', 'told'],
      ['shop', 'told-by-label', undefined, { labels }],
      ['revision', 'told', plain],
      ['outside', 'told-by-label', undefined, { labels }],
    ]
    const untold: typeof told = [
      ['outside', 'untold', plain],
      ['kube-system', 'untold', plain],
    ]
    const asked = (namespace: string, name: string) =>
      cluster.log.filter(({ object, operation }) => object === `${namespace}/${name}` && operation === 'DELETE').length
    for (const [namespace, name, spec = { ports: goodPorts }, metadata] of [...told, ...untold]) {
      await admits(t, cluster, serviceManifest(namespace, name, spec, metadata), 'it is there')
      t.equal((await cluster.kubectl(['delete', 'service', '-n', namespace, name])).code, 0, 'it is deleted')
    }
    t.strictSame(
      told.map(([namespace, name]) => asked(namespace, name)),
      [1, 1, 1, 1],
    )
    t.strictSame(
      untold.map(([namespace, name]) => asked(namespace, name)),
      [0, 0],
    )

    const finalizers = ['example.com/wait']
    await admits(t, cluster, serviceManifest('shop', 'slow', plain, { finalizers }), 'one that has a finalizer')
    const deleting = ['delete', 'service', '-n', 'shop', 'slow', '--wait=false']
    for (let n = 0; n < 2; n++) t.equal((await cluster.kubectl(deleting)).code, 0)
    t.equal(asked('shop', 'slow'), 1, 'a deletion that waits is not asked for again')

    await admits(t, cluster, serviceManifest('shop', 'collected', plain), 'one that the garbage collector deletes')
    const collector = ['--as=system:serviceaccount:kube-system:generic-garbage-collector', '--as-group=system:masters']
    t.equal((await cluster.kubectl(['delete', 'service', '-n', 'shop', 'collected', ...collector])).code, 0)
    t.equal(asked('shop', 'collected'), 0)
  })

  await t.test('a deletion under a VirtualService is warned of, in a dry run as well, and never refused', async (t) => {
    const warning =
      'Warning: metadata.name: shop/used is deleted, but in use by VirtualService shop/used: routes by it or to it then lead nowhere, and callers get errors. Fix: take it out of the VirtualService first [service-in-use]'
    await admits(t, cluster, serviceManifest('shop', 'used', { ports: goodPorts }), 'a virtual host')
    const http = [{ match: [{ port: 3111 }], route: [{ destination: { host: 'ordinary', port: { number: 3111 } } }] }]
    const spec = { hosts: ['used.shop.svc.cluster.local'], gateways: ['mesh'], http }
    await admits(t, cluster, virtualService('v1', 'used', spec), 'its VirtualService')
    for (const dryRun of [['--dry-run=server'], []]) {
      const { code, stderr } = await cluster.kubectl(['delete', 'service', '-n', 'shop', 'used', ...dryRun])
      t.equal(code, 0)
      t.ok(stderr.split('\n').includes(warning), 'it is warned of', { stderr })
    }
    t.equal(await getObject(cluster, ['service', '-n', 'shop', 'used']), undefined, 'it is gone')
    const annotations = (await cluster.auditLog()).map(
      (event) => event.annotations as Record<string, string> | undefined,
    )
    t.ok(annotations.some((all) => all?.['deletions.meshvip.dev/warn'] === 'service-in-use'))
    await cluster.kubectl(['delete', 'virtualservice', '-n', 'shop', 'used'])
  })

  await t.test('while we are down, only what must not pass is stopped, and a deletion is finished', async (t) => {
    const finalizers = ['example.com/wait']
    await admits(t, cluster, serviceManifest('shop', 'leaving', { ports: goodPorts }, { finalizers }), 'it is there')
    await cluster.kubectl(['delete', 'service', '-n', 'shop', 'leaving', '--wait=false'])
    await cluster.webhook.close()

    await refuses(
      t,
      cluster,
      ['create'],
      serviceManifest('shop', 'new', { ports: goodPorts }),
      /failed calling webhook/,
    )
    await admits(t, cluster, serviceManifest('shop', 'plain', { selector: { app: 'a' }, ports: goodPorts }), 'ordinary')
    await admits(t, cluster, serviceManifest('kube-system', 'system', { ports: goodPorts }), 'in kube-system')
    t.equal((await cluster.kubectl(['delete', 'service', '-n', 'shop', 'orders'])).code, 0, 'a deletion passes')
    const ingress = {
      hosts: ['shop.example.com'],
      gateways: ['public'],
      http: [{ route: [{ destination: { host: 'a' } }] }],
    }
    await admits(t, cluster, virtualService('v1', 'ingress', ingress), 'of an ingress gateway')

    const patch = [
      'patch',
      'service',
      '-n',
      'shop',
      'leaving',
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":null}}',
    ]
    t.equal((await cluster.kubectl(patch)).code, 0)
    t.equal(await getObject(cluster, ['service', '-n', 'shop', 'leaving']), undefined, 'it is gone')
  })
})
