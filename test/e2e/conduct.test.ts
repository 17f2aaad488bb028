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
