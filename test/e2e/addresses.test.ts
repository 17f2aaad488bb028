import {
  addressesOf,
  admits,
  claims,
  getObject,
  goodPorts,
  makeNamespace,
  serviceManifest,
  submit,
  testOnCluster,
} from './cluster.ts'

await testOnCluster('addresses', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')
  await makeNamespace(cluster, 'payments')

  await t.test("the runbook's 240.240.0.1, pasted in two namespaces, is had by the first alone", async (t) => {
    const pasted = (namespace: string) =>
      serviceManifest(namespace, 'pasted', { ports: goodPorts, externalIPs: ['240.240.0.1'] })
    await admits(t, cluster, pasted('shop'), 'the first is admitted')
    const { code, stderr } = await submit(cluster, ['apply'], pasted('payments'))
    t.equal(code, 1, 'the second is refused')
    t.match(stderr, '240.240.0.1 belongs to Service shop/pasted')
    t.match(stderr, 'Fix: leave externalIPs out')
    t.strictSame(await claims(cluster), ['240.240.0.1 shop/pasted'])

    const { externalIPs, ...without } = pasted('payments').spec as { externalIPs: string[] }
    await admits(t, cluster, { ...pasted('payments'), spec: without }, 'without externalIPs the second is admitted')
    const [address] = await addressesOf(cluster, 'payments', 'pasted')
    t.match(address, /^240\.240\.(12[89]|1[3-9]\d|2\d\d)\./, 'with an address of its own')
  })

  await t.test('Services that ask for one address at the same time get it once', async (t) => {
    const names = Array.from({ length: 8 }, (_, index) => `racer-${index}`)
    const results = await Promise.all(
      names.map((name) =>
        submit(cluster, ['create'], serviceManifest('shop', name, { ports: goodPorts, externalIPs: ['240.240.0.9'] })),
      ),
    )
    t.equal(results.filter(({ code }) => code === 0).length, 1, 'one is admitted')
    const claimed = (await claims(cluster)).filter((claim) => claim.startsWith('240.240.0.9 '))
    const holders = await Promise.all(
      names.map(async (name) => ((await addressesOf(cluster, 'shop', name)).length > 0 ? [name] : [])),
    )
    t.strictSame(claimed, [`240.240.0.9 shop/${holders.flat()[0]}`], 'and holds the claim')
  })

  await t.test('what the rules refuse leaves no claim behind', async (t) => {
    const before = await claims(cluster)
    const refused = [
      serviceManifest('shop', 'refused', { ports: [{ name: 'http', port: 80 }] }),
      serviceManifest('shop', 'refused', { ports: [{ name: 'web', port: 8080 }], externalIPs: ['240.240.0.77'] }),
    ]
    for (const manifest of refused) t.equal((await submit(cluster, ['create'], manifest)).code, 1)
    t.strictSame(await claims(cluster), before)
  })

  await t.test('an address that Istio gave to a ServiceEntry is not given again', async (t) => {
    const entry = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { namespace: 'payments', name: 'bank' },
      spec: {
        hosts: ['bank.example.com'],
        addresses: ['240.240.0.40'],
        ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
        resolution: 'DNS',
      },
    }
    await admits(t, cluster, entry, 'the ServiceEntry is created')
    const { code, stderr } = await submit(
      cluster,
      ['create'],
      serviceManifest('shop', 'bank', { ports: goodPorts, externalIPs: ['240.240.0.40'] }),
    )
    t.equal(code, 1)
    t.match(stderr, '240.240.0.40 belongs to ServiceEntry payments/bank')
  })

  await t.test('a virtual host by label gets an address in any namespace', async (t) => {
    await makeNamespace(cluster, 'outside', {})
    const labels = { 'meshvip.dev/virtual-host': 'true' }
    await admits(t, cluster, serviceManifest('outside', 'labelled', { ports: goodPorts }, { labels }), 'it is created')
    t.equal((await addressesOf(cluster, 'outside', 'labelled')).length, 1)
  })

  await t.test('the audit log names the address and the rules', async (t) => {
    await submit(cluster, ['create'], serviceManifest('shop', 'audited', { ports: [{ name: 'web', port: 80 }] }))
    const annotations = (await cluster.auditLog()).map(
      (event) => event.annotations as Record<string, string> | undefined,
    )
    t.ok(annotations.some((all) => all?.['virtual-hosts.meshvip.dev/deny'] === 'service-port-name,service-port-80'))
    t.ok(annotations.some((all) => all?.['virtual-hosts.meshvip.dev/address']?.startsWith('240.240.')))
  })

  await t.test('every claim is that of a Service that lists its address', async (t) => {
    for (const claim of await claims(cluster)) {
      const [address = '', name = ''] = claim.split(' ')
      const [namespace = '', service = ''] = name.split('/')
      const object = await getObject(cluster, ['service', '-n', namespace, service])
      t.ok((object?.spec as { externalIPs: string[] } | undefined)?.externalIPs.includes(address), claim)
    }
  })
})
