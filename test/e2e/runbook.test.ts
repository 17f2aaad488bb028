import { addressesOf, claims, testOnCluster } from './cluster.ts'

const manifests = ['-f', 'examples/orders/virtual-host.yaml']

await testOnCluster("the runbook's pair of objects", async (t, cluster) => {
  const { kubectl } = cluster
  const destinations = await kubectl(['apply', '-f', 'examples/orders/destinations.yaml'])
  t.equal(destinations.code, 0, destinations.stderr)

  let promised: string | undefined
  await t.test('a dry run on the server says the address and leaves no claim', async (t) => {
    const { code, stdout, stderr } = await kubectl(['apply', '--dry-run=server', '-o', 'json', ...manifests])
    t.equal(code, 0, 'kubectl succeeds', { stderr })
    const { items } = JSON.parse(stdout) as { items: { kind: string; spec: { externalIPs?: string[] } }[] }
    promised = items.find(({ kind }) => kind === 'Service')?.spec.externalIPs?.[0]
    t.match(promised, /^240\.240\./)
    t.match(stderr, /there is no Service shop\/orders.*refused unless the missing object is applied first/)
    t.strictSame(await claims(cluster), [])
  })

  await t.test(
    'the pair is admitted, with the address that the dry run said, out of the upper half of the pool',
    async (t) => {
      const { code, stderr, stdout } = await kubectl(['apply', ...manifests])
      t.equal(code, 0, 'kubectl succeeds', { stderr })
      t.match(stdout, /service\/orders created/)
      t.match(stdout, /virtualservice.networking.istio.io\/orders created/)
      const addresses = await addressesOf(cluster, 'shop', 'orders')
      t.strictSame(addresses, [promised])
      const third = Number(addresses[0]?.split('.')[2])
      t.ok(third >= 128 && third <= 255, `${addresses[0]} is in the upper half`)
    },
  )

  await t.test('kubectl get ipaddresses shows the claim', async (t) => {
    const { stdout } = await kubectl(['get', 'ipaddresses'])
    t.match(stdout, new RegExp(`^${promised}\\s+services/shop/orders$`, 'm'))
  })

  await t.test('applying again changes nothing', async (t) => {
    const before = await claims(cluster)
    const { code, stdout } = await kubectl(['apply', ...manifests])
    t.equal(code, 0)
    t.match(stdout, /service\/orders unchanged/)
    t.match(stdout, /virtualservice.networking.istio.io\/orders unchanged/)
    t.equal((await kubectl(['diff', ...manifests])).code, 0, 'kubectl diff finds nothing')
    t.strictSame(await addressesOf(cluster, 'shop', 'orders'), [promised])
    t.strictSame(await claims(cluster), before)
  })
})
