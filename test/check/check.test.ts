import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { type CheckOptions, check, isAtLeast } from '../../src/check/check.ts'
import type { Outcome } from '../../src/rules/judge.ts'
import { NamePattern } from '../../src/rules/name-pattern.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { readRuleFixtures } from '../fixtures/rules.ts'
import { startFakeApiServer } from '../support/fake-api-server.ts'
import { sourceOf, sourcesOf } from '../support/sources.ts'

const options: CheckOptions = {
  policy: defaultPolicy,
  namespace: 'default',
  unlistedNamespacesSelected: true,
  complete: true,
}

type Raw = Parameters<Awaited<ReturnType<typeof startFakeApiServer>>['put']>[0]

const severity = { deny: 'error', warn: 'warning', audit: 'note' } as const

const told = ({ action, rule, field, problem, fix }: Outcome) => ({
  severity: severity[action],
  rule,
  field,
  problem,
  fix,
})

const fixtures = await readRuleFixtures()

t.test('on the fixtures of every rule it finds what the webhook finds', async (t) => {
  const server = await startFakeApiServer(t)
  for (const document of parseAllDocuments(fixtures.cluster.text)) server.put(document.toJS() as Raw)
  for (const { id, bad, good, badVerdict, goodVerdict } of fixtures.rules) {
    for (const [manifest, verdict] of [
      [bad, badVerdict],
      [good, goodVerdict],
    ] as const) {
      const report = await check(sourceOf(manifest.text, manifest.file), {
        ...options,
        live: { client: server.client, signal: AbortSignal.timeout(10_000) },
      })
      const expected = verdict.outcomes.filter(({ fromMutation }) => !fromMutation).map(told)
      const found = report.issues.map(({ severity, rule, field, problem, fix }) => ({
        severity,
        rule,
        field,
        problem,
        fix,
      }))
      const inOrder = (all: typeof found) => all.map((one) => JSON.stringify(one)).sort()
      t.strictSame(inOrder(found), inOrder(expected), `${id}: ${manifest.file}`)
    }
  }
})

t.test('an object that is given twice is told of where it is given again, as a warning', async (t) => {
  const object = (kind: string, metadata: string) => `{apiVersion: v1, kind: ${kind}, metadata: {${metadata}}}`
  const a = object('Service', 'name: a')
  const list = `apiVersion: v1\nkind: List\nitems:\n- ${object('Service', 'name: b')}\n- ${object('Service', 'namespace: default, name: a')}\n`
  const others = [
    object('Service', 'namespace: shop, name: a'),
    object('Namespace', 'name: a'),
    object('Service', 'generateName: c'),
    object('Service', 'generateName: c'),
  ]
  const { issues, sources } = await check(
    sourcesOf(
      { name: '1.yaml', text: `# a\n---\n${a}\n---\n${others.join('\n---\n')}` },
      { name: '2.yaml', text: list },
    ),
    options,
  )
  const duplicates = issues.filter(({ rule }) => rule === 'manifest-duplicate')
  t.match(duplicates, [
    {
      source: '2.yaml',
      position: { line: 5, column: 72 },
      severity: 'warning',
      object: 'Service default/a',
      problem: 'Service default/a is already in the document at 1.yaml:2',
    },
  ])
  t.equal(duplicates.length, 1)
  t.equal(sources.flatMap(({ objects }) => objects).length, 6, 'all of them are judged')
})

t.test('what controllers make means nothing in manifests', async (t) => {
  const made = [
    '{apiVersion: v1, kind: Endpoints, metadata: {name: a}}',
    '{apiVersion: networking.k8s.io/v1, kind: IPAddress, metadata: {name: 1.2.3.4}}',
    '{apiVersion: v1, kind: Namespace, metadata: {name: a}}',
  ]
  t.match(await check(sourceOf(made.join('\n---\n')), options), { issues: [], unreadable: [], objects: 1 })
})

t.test('without a cluster it finds the same in manifests that are all there is', async (t) => {
  for (const { id, bad, badVerdict } of fixtures.rules) {
    const { issues } = await check(
      sourcesOf({ name: 'cluster.yaml', text: fixtures.cluster.text }, { name: bad.file, text: bad.text }),
      { ...options, unlistedNamespacesSelected: false },
    )
    const found = issues.filter(({ source }) => source === bad.file)
    const expected = badVerdict.outcomes
      // What mutation does before.
      .filter(({ fromMutation }) => !fromMutation)
      // What only an update shows: where there is no cluster, one object is given twice.
      .map(({ rule }) => (rule === 'service-in-use' ? 'manifest-duplicate' : rule))
    t.strictSame(found.map(({ rule }) => rule).sort(), expected.sort(), id)
  }
})

const virtualService = (hosts: string, destination: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: orders, namespace: shop }
spec:
  hosts:
    - ${hosts}
  gateways: [mesh]
  http:
    - match:
        - port: 3111
      route:
        - destination:
            host: ${destination}
            port:
              number: 3100
`

t.test('what is not given is unknown, unless it is all there is', async (t) => {
  const text = virtualService('orders', 'read')
  const rules = async (complete: boolean) =>
    (await check(sourceOf(text), { ...options, complete })).issues.map(({ rule }) => rule)
  t.strictSame(await rules(false), [])
  t.ok((await rules(true)).includes('virtualservice-host-unknown'))
})

t.test('of what is given it knows what is wrong', async (t) => {
  const service =
    'apiVersion: v1\nkind: Service\nmetadata: { name: read, namespace: shop }\nspec: { selector: { a: b }, ports: [{ name: http, port: 3000 }] }'
  const { issues, objects, judged } = await check(sourceOf(`${virtualService('orders', 'read')}---\n${service}`), {
    ...options,
    complete: false,
  })
  t.match(issues, [
    {
      severity: 'error',
      rule: 'virtualservice-destination-port',
      object: 'VirtualService shop/orders',
      source: 'a.yaml',
      position: { line: 16, column: 23 },
      excerpt: '              number: 3100',
      length: 4,
    },
  ])
  t.strictSame([objects, judged], [2, 2])
})

t.test('objects that say no namespace are in the one that is given', async (t) => {
  const text = 'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ name: http, port: 80 }] }'
  const { issues } = await check(sourceOf(text), { ...options, namespace: 'shop' })
  t.strictSame(issues[0]?.object, 'Service shop/a')
})

t.test('whether a namespace that is not given belongs to the mesh can be said', async (t) => {
  const text = 'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ name: http, port: 80 }] }'
  const count = async (unlistedNamespacesSelected: boolean) =>
    (await check(sourceOf(text), { ...options, unlistedNamespacesSelected })).issues.length
  t.strictSame([await count(true), await count(false)], [1, 0])
})

t.test('an exemption is a warning, and says why', async (t) => {
  const text = 'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ name: http, port: 80 }] }'
  const exemption = {
    rules: [new NamePattern('*')],
    namespaces: [new NamePattern('*')],
    names: [new NamePattern('*')],
    reason: 'because',
    expires: undefined,
  }
  const { issues } = await check(sourceOf(text), { ...options, policy: { ...defaultPolicy, exemptions: [exemption] } })
  t.match(issues, [{ severity: 'warning', note: /because/ }])
})

t.test('in audit everything is a note', async (t) => {
  const text = 'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ name: http, port: 80 }] }'
  const { issues } = await check(sourceOf(text), { ...options, policy: { ...defaultPolicy, enforcement: 'audit' } })
  t.strictSame(
    issues.map(({ severity }) => severity),
    ['note'],
  )
})

t.test('issues stand in the order of the sources and of their lines', async (t) => {
  const service = (name: string) =>
    `apiVersion: v1\nkind: Service\nmetadata: { name: a, namespace: ${name} }\nspec:\n  ports:\n    - { name: web, port: 80 }\n`
  const { issues } = await check(
    sourcesOf({ name: 'z.yaml', text: `${service('a')}---\n${service('b')}` }, { name: 'a.yaml', text: service('c') }),
    options,
  )
  const places = issues.map(({ source, position }) => `${source}:${position.line}`)
  t.strictSame(places, ['z.yaml:6', 'z.yaml:6', 'z.yaml:13', 'z.yaml:13', 'a.yaml:6', 'a.yaml:6'])
  t.ok(issues.every((one, index) => index % 2 === 0 || one.position.column > (issues[index - 1]?.position.column ?? 0)))
})

t.test('what is unreadable hides nothing else', async (t) => {
  const bad = { source: 'bin', line: 1, column: 1, problem: 'binary' }
  const text =
    'kind: [\n---\napiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ name: http, port: 80 }] }'
  const seen: string[] = []
  const report = await check(sourcesOf(bad, { name: 'a.yaml', text }), {
    ...options,
    onProgress: (what) => seen.push(what),
  })
  t.match(report.unreadable, [bad, { source: 'a.yaml', problem: /^Flow sequence/ }])
  t.equal(report.issues.length, 1)
  t.strictSame(seen, ['reading: 0 objects', 'reading: 0 objects'])
})

t.test('what only looks like an object is a warning', async (t) => {
  const { issues } = await check(sourceOf('apiVersion: v1\nkind: service\nmetadata: { name: a }'), options)
  t.match(issues, [
    {
      severity: 'warning',
      rule: 'manifest-kind',
      object: 'manifest',
      position: { line: 2, column: 7 },
      length: 7,
      problem: 'there is no kind service in v1',
      fix: 'write apiVersion: v1 and kind: Service',
    },
  ])
})

t.test('severities have an order', async (t) => {
  t.strictSame(
    [
      isAtLeast('error', 'warning'),
      isAtLeast('warning', 'warning'),
      isAtLeast('note', 'warning'),
      isAtLeast('warning', 'error'),
    ],
    [true, true, false, false],
  )
})

t.test('applied to a live cluster, what is given stands in place of what is there', async (t) => {
  const server = await startFakeApiServer(t)
  const meta = { namespace: 'shop' }
  server.put(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { ...meta, name: 'orders' },
      spec: { ports: [{ name: 'http', port: 3111 }] },
    } as Raw,
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { ...meta, name: 'read' },
      spec: { selector: { a: 'b' }, ports: [{ name: 'http', port: 3100 }] },
    } as Raw,
  )
  const live = { client: server.client, signal: AbortSignal.timeout(10_000) }
  const rules = async (text: string) =>
    (await check(sourceOf(text), { ...options, live })).issues.map(({ rule }) => rule)
  const full = (name: string) => `${name}.shop.svc.cluster.local`
  const text = virtualService(full('orders'), full('read'))
  t.strictSame(await rules(text), [])
  const moved =
    'apiVersion: v1\nkind: Service\nmetadata: { name: read, namespace: shop }\nspec: { selector: { a: b }, ports: [{ name: http, port: 3000 }] }'
  t.strictSame(await rules(`${text}---\n${moved}`), ['virtualservice-destination-port', 'service-in-use'])
  const toNobody = virtualService(full('orders'), full('nobody'))
  t.strictSame(await rules(toNobody), ['virtualservice-destination-unknown'])
  server.put({
    ...(server.get('/api/v1/namespaces/shop/services/orders') as Raw),
    spec: { ports: [{ name: 'http', port: 80 }] },
  } as Raw)
  server.put({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { namespace: 'shop', name: 'orders' },
    spec: {
      hosts: [full('orders')],
      gateways: ['mesh'],
      http: [{ route: [{ destination: { host: full('nobody') } }] }],
    },
  } as Raw)
  const namespace = 'apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { istio-injection: enabled } }'
  const again = (await check(sourceOf(`${namespace}---\n${toNobody}`.replace('}---', '}\n---')), { ...options, live }))
    .issues
  t.match(
    again.find(({ rule }) => rule === 'virtualservice-destination-unknown'),
    { severity: 'warning', note: 'it was so before' },
  )
  const old =
    'apiVersion: v1\nkind: Service\nmetadata: { name: orders, namespace: shop }\nspec: { ports: [{ name: http, port: 80 }] }'
  t.match((await check(sourceOf(old), { ...options, live })).issues, [
    { severity: 'warning', note: 'it was so before' },
  ])
})
