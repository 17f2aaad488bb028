import {
  addressesOf,
  admits,
  claims,
  getObject,
  makeNamespace,
  serviceManifest,
  submit,
  testOnCluster,
} from './cluster.ts'

await testOnCluster('an ordinary cluster', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')
  await makeNamespace(cluster, 'elsewhere', {})
  const port80 = [{ name: 'http', port: 80 }]
  const web = [{ name: 'web', port: 8080 }]
  const owner = { apiVersion: 'serving.knative.dev/v1', kind: 'Route', name: 'function', uid: 'a', controller: true }

  const handMadeSlice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'shop', name: 'database-1', labels: { 'kubernetes.io/service-name': 'database' } },
    addressType: 'IPv4',
    ports: [{ name: 'web', port: 5432 }],
    endpoints: [{ addresses: ['10.1.2.3'] }],
  }
  await admits(t, cluster, handMadeSlice, 'the slice of a Service with endpoints made by hand')
  const handMadeEndpoints = { apiVersion: 'v1', kind: 'Endpoints', metadata: { namespace: 'shop', name: 'legacy' } }
  await admits(t, cluster, handMadeEndpoints, 'the Endpoints of a Service that comes after them')

  const services: [string, object][] = [
    ['a Service on port 80', serviceManifest('shop', 'front', { selector: { app: 'front' }, ports: port80 })],
    ['a port named web', serviceManifest('shop', 'web', { selector: { app: 'web' }, ports: web })],
    [
      'a headless Service',
      serviceManifest('shop', 'headless', { clusterIP: 'None', selector: { app: 'db' }, ports: web }),
    ],
    ['a headless Service without selector', serviceManifest('shop', 'bare', { clusterIP: 'None', ports: port80 })],
    ['an ExternalName', serviceManifest('shop', 'alias', { type: 'ExternalName', externalName: 'example.com' })],
    ['a NodePort', serviceManifest('shop', 'node', { type: 'NodePort', selector: { app: 'node' }, ports: port80 })],
    [
      'a LoadBalancer',
      serviceManifest('shop', 'balancer', { type: 'LoadBalancer', selector: { app: 'b' }, ports: port80 }),
    ],
    ['a LoadBalancer without selector', serviceManifest('shop', 'outside', { type: 'LoadBalancer', ports: port80 })],
    ['a selectorless Service with endpoints made by hand', serviceManifest('shop', 'database', { ports: web })],
    ['a selectorless Service with Endpoints made by hand', serviceManifest('shop', 'legacy', { ports: web })],
    [
      'a selectorless Service that a controller owns',
      serviceManifest('shop', 'function', { ports: port80 }, { ownerReferences: [owner] }),
    ],
    [
      'a selectorless Service labelled as no virtual host',
      serviceManifest('shop', 'opted-out', { ports: port80 }, { labels: { 'meshvip.dev/virtual-host': 'false' } }),
    ],
    ['a selectorless Service outside the mesh', serviceManifest('elsewhere', 'bare', { ports: port80 })],
  ]
  for (const [story, manifest] of services) {
    await t.test(`${story} is left alone`, async (t) => {
      const { namespace, name } = manifest as { metadata: { namespace: string; name: string } } extends infer M
        ? (M & { metadata: { namespace: string; name: string } })['metadata']
        : never
      await admits(t, cluster, manifest, 'it is admitted')
      t.strictSame(await addressesOf(cluster, namespace, name), [], 'it has no external IP')
    })
  }
  t.strictSame(await claims(cluster), [], 'nothing was claimed for any of them')

  const virtualService = (name: string, spec: object) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { namespace: 'shop', name },
    spec,
  })
  const http = [{ route: [{ destination: { host: 'front' } }] }]
  const virtualServices: [string, object][] = [
    [
      'an ingress VirtualService',
      virtualService('ingress', { hosts: ['shop.example.com'], gateways: ['istio-system/public'], http }),
    ],
    [
      'an ingress VirtualService for any host, to a destination that is not there',
      virtualService('catch-all', {
        hosts: ['*'],
        gateways: ['istio-system/public'],
        http: [{ route: [{ destination: { host: 'nobody.shop' } }] }],
      }),
    ],
    ['a VirtualService of an ordinary Service without gateways', virtualService('front', { hosts: ['front'], http })],
    [
      'a VirtualService for ingress and mesh',
      virtualService('both', {
        hosts: ['shop.example.com', 'front.shop.svc.cluster.local'],
        gateways: ['mesh', 'istio-system/public'],
        http,
      }),
    ],
  ]
  for (const [story, manifest] of virtualServices) {
    await t.test(`${story} is not refused`, (t) => admits(t, cluster, manifest, 'it is admitted'))
  }

  await t.test('an ingress VirtualService does not even make a hop', async (t) => {
    const asked = cluster.log.filter(({ object }) => object === 'shop/ingress' || object === 'shop/catch-all')
    t.strictSame(asked, [])
  })

  await t.test('the Service of the API server itself can be changed', async (t) => {
    const { code, stderr } = await cluster.kubectl(['label', 'service', '-n', 'default', 'kubernetes', 'test=yes'])
    t.equal(code, 0, 'it is admitted', { stderr })
  })

  await t.test('a Service of kube-system is never asked about', async (t) => {
    const { code } = await submit(cluster, ['apply'], serviceManifest('kube-system', 'dns', { ports: port80 }))
    t.equal(code, 0)
    t.ok(await getObject(cluster, ['service', '-n', 'kube-system', 'dns']))
    t.strictSame(
      cluster.log.filter(({ object }) => String(object).startsWith('kube-system/')),
      [],
    )
  })
})
