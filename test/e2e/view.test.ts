import { setTimeout as sleep } from 'node:timers/promises'
import { addressesOf, admits, makeNamespace, serviceManifest, submit, testOnCluster } from './cluster.ts'

const virtualService = (port: number) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { namespace: 'shop', name: 'orders' },
  spec: {
    hosts: ['orders.shop.svc.cluster.local'],
    gateways: ['mesh'],
    http: [
      {
        match: [{ port, uri: { prefix: `/${port}` } }],
        route: [{ destination: { host: 'orders-read', port: { number: port } } }],
      },
    ],
  },
})

const withPort = (name: string, port: number, spec: object = {}) =>
  serviceManifest('shop', name, { ...spec, ports: [{ name: 'http-api', port }] })

await testOnCluster('the view of the cluster', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')

  await t.test('a port that a Service just got costs its VirtualService no refusal', async (t) => {
    for (let port = 3100; port < 3115; port++) {
      await admits(
        t,
        cluster,
        withPort('orders-read', port, { selector: { app: 'read' } }),
        `the destination has ${port}`,
      )
      await admits(t, cluster, withPort('orders', port), `the virtual host has ${port}`)
      await admits(t, cluster, virtualService(port), `the VirtualService has ${port}`)
    }
  })

  await t.test('an API server that is killed and comes back finds everything as it was', async (t) => {
    const before = await addressesOf(cluster, 'shop', 'orders')
    await cluster.restartApiServer()
    await admits(t, cluster, withPort('orders', 3200), 'an update')
    t.strictSame(await addressesOf(cluster, 'shop', 'orders'), before)
    await admits(t, cluster, withPort('carts', 3200), 'a new virtual host')
    const wrong = await submit(cluster, ['apply'], virtualService(3199))
    t.match(wrong.stderr, 'no host has port 3199')
  })

  await t.test('the watches come back, too', async (t) => {
    const metrics = async () => (await fetch(`${cluster.webhook.metricsURL}/metrics`)).text()
    const deadline = Date.now() + 30_000
    const isCurrent = async () => !/^meshvip_view_current\{[^}]*\} 0$/m.test(await metrics())
    while (!(await isCurrent()) && Date.now() < deadline) await sleep(200)
    t.ok(await isCurrent(), 'everything is in view')
    t.match(await metrics(), /^meshvip_view_objects\{kind="VirtualService"\} 1$/m)
  })
})
