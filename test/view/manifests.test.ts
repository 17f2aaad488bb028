import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { parseManifests, readManifests } from '../../src/view/manifests.ts'
import { thrown } from '../support/thrown.ts'

const parse = (text: string) => parseManifests(text, 'objects.yaml')

/** Kind, namespace and name of each object. */
const summary = (objects: ReturnType<typeof parse>) =>
  objects.map(({ kind, object }) => {
    if (kind === 'Namespace') return `${kind} ${object.name}`
    return kind === 'IPAddress' ? `${kind} ${object.name}` : `${kind} ${object.namespace}/${object.name}`
  })

const service = (name: string) => `{ apiVersion: v1, kind: Service, metadata: { namespace: shop, name: ${name} } }`

t.test('the objects of all documents, in their order', async (t) => {
  const text = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
# nothing here
---
${service('orders')}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: { namespace: shop, name: orders }
---
`
  t.strictSame(summary(parse(text)), ['Namespace shop', 'Service shop/orders', 'VirtualService shop/orders'])
})

t.test('a text without objects has none', async (t) => {
  for (const text of ['', '\n', '---\n---\n', '# nothing', 'null']) t.strictSame(parse(text), [], JSON.stringify(text))
})

t.test('kinds that no rule reads are passed over', async (t) => {
  const text = `{ apiVersion: v1, kind: ConfigMap }
---
{ apiVersion: serving.knative.dev/v1, kind: Service, metadata: { name: a } }
---
{ replicas: 3 }
---
${service('orders')}`
  t.strictSame(summary(parse(text)), ['Service shop/orders'])
})

t.test('JSON is read as well', async (t) => {
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'shop', name: 'orders' } }
  t.strictSame(summary(parse(JSON.stringify(object, null, 2))), ['Service shop/orders'])
})

t.test('the objects in a List, and in a List in a List', async (t) => {
  const list = (...items: string[]) => `{ apiVersion: v1, kind: List, items: [${items.join(', ')}] }`
  const text = list(service('a'), '{ apiVersion: v1, kind: ConfigMap }', list(service('b')), list())
  t.strictSame(summary(parse(text)), ['Service shop/a', 'Service shop/b'])
  t.strictSame(summary(parse(`{ apiVersion: v1, kind: ServiceList, items: [${service('c')}] }`)), ['Service shop/c'])
  const bare = '{ apiVersion: networking.istio.io/v1, kind: VirtualServiceList, items: [{ metadata: { name: d } }] }'
  t.strictSame(summary(parse(bare)), ['VirtualService default/d'], 'as the API server lists them')
})

t.test('a kind that only sounds like a List, or has no items, is none', async (t) => {
  t.strictSame(parse(`{ apiVersion: example.com/v1, kind: Wishlist, items: [${service('a')}] }`), [])
  t.strictSame(parse('{ apiVersion: example.com/v1, kind: AllowList, spec: {} }'), [])
})

t.test('a namespaced object without namespace is in default, and only such a one', async (t) => {
  const kinds = [
    'apiVersion: v1, kind: Service',
    'apiVersion: discovery.k8s.io/v1, kind: EndpointSlice',
    'apiVersion: networking.istio.io/v1, kind: VirtualService',
    'apiVersion: networking.istio.io/v1, kind: ServiceEntry',
    'apiVersion: v1, kind: Namespace',
    'apiVersion: networking.k8s.io/v1, kind: IPAddress',
  ]
  const text = kinds.map((kind) => `{ ${kind}, metadata: { name: a } }`).join('\n---\n')
  t.strictSame(summary(parse(text)), [
    'Service default/a',
    'EndpointSlice default/a',
    'VirtualService default/a',
    'ServiceEntry default/a',
    'Namespace a',
    'IPAddress a',
  ])
})

t.test('what cannot be read names the file and the line', async (t) => {
  const rows: [story: string, text: string, message: string][] = [
    ['a wrong type', `${service('a')}\n---\nkind: 5`, 'objects.yaml:3:7: kind must be a string'],
    [
      'a wrong type within',
      'apiVersion: v1\nkind: Service\nspec: { ports: 5 }',
      'objects.yaml:3:16: spec.ports must be a list',
    ],
    [
      'a wrong type in a List',
      `apiVersion: v1\nkind: List\nitems: [${service('a')}, 5]`,
      'objects.yaml:3:84: the object must be an object',
    ],
    ['a List without list', 'apiVersion: v1\nkind: List\nitems: 5', 'objects.yaml:3:8: items must be a list'],
    ['a text', 'orders', 'objects.yaml:1:1: the object must be an object'],
    ['a list', '- a', 'objects.yaml:1:1: the object must be an object'],
  ]
  for (const [story, text, message] of rows)
    t.equal(
      thrown(() => parse(text)),
      `ManifestError: ${message}`,
      story,
    )
})

t.test('text that is no YAML names the line and fits on one', async (t) => {
  const rows: [text: string, message: RegExp][] = [
    ['kind: Service\nmetadata: [', /^ManifestError: objects\.yaml:2:12: Flow sequence[^\n]*$/],
    [`${service('a')}\n---\nkind: a: b`, /^ManifestError: objects\.yaml:3:7: Nested mappings[^\n]*$/],
    ['kind: a\nkind: b', /^ManifestError: objects\.yaml:2:1: the key kind is there for the second time: is ---[^\n]*$/],
  ]
  for (const [text, message] of rows)
    t.match(
      thrown(() => parse(text)),
      message,
      text,
    )
})

t.test('the manifests of a folder and those below it, by name', async (t) => {
  const folder = t.testdir({
    'b.yaml': service('b'),
    'a.yml': `${service('a1')}\n---\n${service('a2')}`,
    'c.json': '{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"shop","name":"c"}}',
    'README.md': 'no manifest',
    'd.yaml.bak': service('d'),
    below: { deep: { 'e.yaml': service('e') } },
  })
  t.strictSame(summary(await readManifests(folder)), [
    'Service shop/a1',
    'Service shop/a2',
    'Service shop/b',
    'Service shop/e',
    'Service shop/c',
  ])
})

t.test('a file is a manifest, whatever it is called', async (t) => {
  const folder = t.testdir({ orders: service('orders'), 'other.yaml': service('other') })
  t.strictSame(summary(await readManifests(`${folder}/orders`)), ['Service shop/orders'])
})

t.test('a dash is the standard input', async (t) => {
  const input = (text: string) => t.intercept(process, 'stdin', { value: Readable.from([text]), configurable: true })
  input(service('orders'))
  t.strictSame(summary(await readManifests('-')), ['Service shop/orders'])
  input('kind: 5')
  await t.rejects(readManifests('-'), { name: 'ManifestError', message: 'stdin:1:7: kind must be a string' })
})

t.test('a folder without manifests is a mistake', async (t) => {
  await t.rejects(readManifests(t.testdir({})), {
    name: 'UsageError',
    message: /has no \.yaml, \.yml or \.json file in it$/,
  })
})

t.test('a file in a folder that cannot be read is named by its path', async (t) => {
  const folder = t.testdir({ below: { 'bad.yaml': 'kind: 5' } })
  await t.rejects(readManifests(folder), {
    name: 'ManifestError',
    message: `${join(folder, 'below', 'bad.yaml')}:1:7: kind must be a string`,
  })
})

t.test('a folder that is not there is named', async (t) => {
  const folder = join(t.testdir({}), 'nowhere')
  await t.rejects(readManifests(folder), { name: 'UsageError', message: new RegExp(`^cannot read ${folder}: ENOENT`) })
})

t.test('an alias without anchor is a ManifestError with file and line', async (t) => {
  t.throws(() => parseManifests('kind: Service\nmetadata: *nowhere', 'objects.yaml'), {
    name: 'ManifestError',
    message: /^objects\.yaml:2:11: no anchor &nowhere stands before it/,
  })
})

t.test('a file that is no text is named', async (t) => {
  const file = join(t.testdir({ 'a.yaml': 'a: \0' }), 'a.yaml')
  await t.rejects(readManifests(file), { name: 'ManifestError', message: `${file}:1:4: a NUL character` })
})

t.test('a folder that is called like a manifest is a folder', async (t) => {
  const folder = t.testdir({ 'overlay.yaml': { 'a.yaml': '{ apiVersion: v1, kind: Service, metadata: { name: a } }' } })
  t.equal((await readManifests(folder)).length, 1)
})
