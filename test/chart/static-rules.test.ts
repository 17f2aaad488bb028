import * as fc from 'fast-check'
import { parseService } from '../../src/api/service.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { servicePort80 } from '../../src/rules/service-port-80.ts'
import { servicePortName } from '../../src/rules/service-port-name.ts'
import { serviceReservedPort } from '../../src/rules/service-reserved-port.ts'
import { openApi } from '../e2e/api.ts'
import { makeNamespace, serviceManifest, until } from '../e2e/cluster.ts'
import { storeOf } from '../support/objects.ts'
import { apply } from '../testbed/webhook.ts'
import { testChartOnControlPlane } from './chart.ts'

const rules = [servicePort80, serviceReservedPort, servicePortName]

/** The rules that refuse these ports for a virtual host, by our own judgement. */
const refusing = (ports: object[]): string[] => {
  const service = parseService(serviceManifest('shop', 'any', { ports }))
  const view = storeOf()
  const subject = { service, before: undefined, isVirtualHost: true, view, policy: defaultPolicy, claimed: false }
  return rules.filter((rule) => rule.check(subject).some(({ atMost }) => atMost === undefined)).map(({ id }) => id)
}

const words = ['http', 'grpc-web', 'tcp', 'web', 'udp', 'http2', 'mongo', 'redis-a', 'https', 'tls-', 'mysql', 'x-http']
const port = fc.record(
  {
    name: fc
      .tuple(fc.constantFrom(...words), fc.constantFrom('', '-a', '-b1'))
      .map((parts) => parts.join('').replace(/-+/g, '-').replace(/-$/, '')),
    port: fc.oneof(
      fc.constantFrom(80, 25, 53, 3306, 27017, 15000, 15001, 15012, 15017, 15090),
      fc.integer({ min: 1, max: 65_535 }),
    ),
    protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
    appProtocol: fc.constantFrom(
      'http',
      'HTTP',
      'kubernetes.io/h2c',
      'kubernetes.io/WS',
      'example.com/http',
      'grpc-web',
      'web',
    ),
  },
  { requiredKeys: ['name', 'port'] },
)
const portLists = fc.uniqueArray(port, {
  minLength: 1,
  maxLength: 3,
  selector: (one) => `${one.name}`,
})

await testChartOnControlPlane('the rules that the API server holds by itself', async (t, { render }, cluster) => {
  const manifests = await render('helm4', { admissionPolicies: { staticRules: true } })
  const policies = manifests.filter(({ metadata }) => metadata.name.startsWith('meshvip-static-rules'))
  t.equal(policies.length, 3, 'a policy, and a binding for each way to be of the mesh')
  for (const policy of policies) await apply(cluster, JSON.stringify(policy))
  await makeNamespace(cluster, 'shop')
  await makeNamespace(cluster, 'canary', { 'istio.io/rev': 'canary' })
  await makeNamespace(cluster, 'elsewhere', {})
  const api = openApi(cluster)
  t.teardown(() => api.close())
  const path = (namespace: string) => `/api/v1/namespaces/${namespace}/services`
  const submit = (namespace: string, spec: object, metadata: object = {}, name = 'any') =>
    api.send('POST', `${path(namespace)}?dryRun=All`, serviceManifest(namespace, name, spec, metadata))
  const bad = { ports: [{ name: 'http', port: 80 }] }
  t.ok(await until(async () => (await submit('canary', bad)).status >= 400), 'the API server heeds the policy')
  t.ok(await until(async () => (await submit('shop', bad)).status >= 400))

  await t.test('are what the rules say of any ports', async (t) => {
    const seen = { refused: 0, admitted: 0 }
    const wrong: object[] = []
    for (const ports of fc.sample(portLists, { numRuns: 400, seed: 7 })) {
      const { status, text } = await submit('shop', { ports })
      // What the API server itself finds wrong of them is nobody's business here.
      if (status === 422 && !text.includes('ValidatingAdmissionPolicy')) continue
      const expected = refusing(ports)
      const isRefused = status >= 400
      seen[isRefused ? 'refused' : 'admitted']++
      if (isRefused !== expected.length > 0 || (isRefused && !expected.some((id) => text.includes(`[${id}]`))))
        wrong.push({ ports, status, text, expected })
    }
    t.comment(JSON.stringify(seen))
    t.strictSame(wrong.slice(0, 3), [])
    t.ok(seen.refused > 100 && seen.admitted > 30, 'many of both')
  })

  await t.test('hold for virtual hosts of the mesh alone', async (t) => {
    const cases: [what: string, namespace: string, spec: object, metadata: object, refused: boolean][] = [
      ['of a namespace by revision', 'canary', bad, {}, true],
      ['of another namespace', 'elsewhere', bad, {}, false],
      ['with a selector', 'shop', { ...bad, selector: { app: 'a' } }, {}, false],
      ['by a label that says none', 'shop', bad, { labels: { 'meshvip.dev/virtual-host': 'false' } }, false],
      [
        'by label, with a selector',
        'shop',
        { ...bad, selector: { app: 'a' } },
        { labels: { 'meshvip.dev/virtual-host': 'true' } },
        true,
      ],
      ['without ports, by name elsewhere', 'shop', { type: 'ExternalName', externalName: 'example.com' }, {}, false],
    ]
    for (const [what, namespace, spec, metadata, refused] of cases) {
      const { status, text } = await submit(namespace, spec, metadata)
      t.equal(status >= 400, refused, what, { text })
    }
  })

  await t.test('let pass what was so before', async (t) => {
    const ordinary = { labels: { 'meshvip.dev/virtual-host': 'false' } }
    await apply(cluster, JSON.stringify(serviceManifest('shop', 'legacy', bad, ordinary)))
    const change = (body: object) => api.send('PATCH', `${path('shop')}/legacy?dryRun=All`, body)
    const label = { metadata: { labels: { 'meshvip.dev/virtual-host': null } } }
    t.equal((await change(label)).status, 200, 'a port that it had')
    const worse = { ...label, spec: { ports: [...bad.ports, { name: 'web', port: 8080 }] } }
    t.match((await change(worse)).text, '[service-port-name]', 'but not another one')
  })
})
