import t from 'tap'
import { documentsOf } from '../../src/manifests/documents.ts'
import { objectsOf } from '../../src/manifests/objects.ts'

const found = (text: string) => {
  const [document] = [...documentsOf({ name: 'a.yaml', text })]
  return objectsOf(document as NonNullable<typeof document>, 'shop')
}

const shown = (text: string) => {
  const all = found(text)
  return [
    ...all.unreadable.map(({ line, column, problem }) => `${line}:${column}: ${problem}`),
    ...all.objects.map(
      ({ known, path }) => `${known.kind} ${known.object.namespace}/${known.object.name} ${path.join('.')}`,
    ),
    ...all.nearMisses.map(({ problem, fix, path }) => `${problem}: ${fix} ${path.join('.')}`),
  ]
}

t.test('the objects of a document', async (t) => {
  const rows: [story: string, text: string, expected: string[]][] = [
    ['nothing', '# a comment', []],
    ['one', 'apiVersion: v1\nkind: Service\nmetadata: {name: a}', ['Service shop/a ']],
    ['one of a namespace', 'apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}', ['Service b/a ']],
    ['one without namespaces', 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}', ['Namespace /a ']],
    [
      'a List in a List',
      JSON.stringify({
        kind: 'List',
        apiVersion: 'v1',
        items: [
          {
            apiVersion: 'v1',
            kind: 'ServiceList',
            items: [{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' } }],
          },
          { apiVersion: 'apps/v1', kind: 'Deployment' },
        ],
      }),
      ['Service shop/a items.0.items.0'],
    ],
    [
      'a List as the API server sends it, in which items do not say what they are',
      'apiVersion: v1\nkind: ServiceList\nitems: [{metadata: {name: a}}, {kind: Pod, metadata: {name: b}}]',
      ['Service shop/a items.0'],
    ],
    ['a List of nothing', 'apiVersion: v1\nkind: List\nitems:', []],
    ['a kind of others', 'apiVersion: serving.knative.dev/v1\nkind: Service', []],
    ['a patch without kind', 'metadata: {name: a}', []],
  ]
  for (const [story, text, expected] of rows) t.strictSame(shown(text), expected, story)
})

t.test('what is nearly an object is told', async (t) => {
  const of = (apiVersion: string, kind: string) => shown(JSON.stringify({ apiVersion, kind }))
  const rows: [apiVersion: string, kind: string, fix: string | undefined][] = [
    ['networking.Istio.io/v1', 'VirtualService', 'write apiVersion: networking.istio.io/v1 and kind: VirtualService'],
    [
      'networking.istio.io/v1beta1',
      'Virtualservice',
      'write apiVersion: networking.istio.io/v1beta1 and kind: VirtualService',
    ],
    ['networking.istio.io/v1', 'VirtualServce', 'write apiVersion: networking.istio.io/v1 and kind: VirtualService'],
    ['networking.istio.io/v1', 'VirtuallService', 'write apiVersion: networking.istio.io/v1 and kind: VirtualService'],
    ['networking.istio.io/v1', 'VirtualServixe', 'write apiVersion: networking.istio.io/v1 and kind: VirtualService'],
    ['v1', 'Servcie', 'write apiVersion: v1 and kind: Service'],
    ['network.istio.io/v1', 'VirtualService', undefined],
    ['networkin.istio.io/v1', 'VirtualService', 'write apiVersion: networking.istio.io/v1 and kind: VirtualService'],
    ['v1', 'service', 'write apiVersion: v1 and kind: Service'],
    ['networking.istio.io/v1', 'Gateway', undefined],
    ['networking.istio.io/v1', 'WorkloadEntry', undefined],
    ['v1', 'Secret', undefined],
    ['v1', 'ServiceAccount', undefined],
  ]
  for (const [apiVersion, kind, fix] of rows)
    t.strictSame(
      of(apiVersion, kind),
      fix === undefined ? [] : [`there is no kind ${kind} in ${apiVersion}: ${fix} `],
      `${apiVersion} ${kind}`,
    )
})

t.test('what has not the shape of its kind is told, where it stands', async (t) => {
  const rows: [text: string, problem: string][] = [
    ['apiVersion: v1\nkind: Service\nspec: {ports: 80}', '3:15: spec.ports must be a list'],
    [
      'apiVersion: v1\nkind: Service\nmetadata: {labels: {meshvip.dev/virtual-host: true}}',
      '3:47: metadata.labels[meshvip.dev/virtual-host] must be a string',
    ],
    ['# c\n- a\n- b', '2:1: the object must be an object'],
    [
      'apiVersion: v1\nkind: Service\nmetadata:\n  labels:\n    app.example.com/on: on',
      '5:25: metadata.labels[app.example.com/on] must be a string',
    ],
    [
      'apiVersion: v1\nkind: Service\nmetadata: {labels: {on: a, "80": 5}}',
      '3:34: metadata.labels[80] must be a string',
    ],
    ['apiVersion: v1\nkind: Service\nmetadata: {labels: {on: 5}}', '3:25: metadata.labels[true] must be a string'],
    ['apiVersion: v1\nkind: Service\nspec:\n  externalIPs: [a, 1]', '4:20: spec.externalIPs[1] must be a string'],
    ['apiVersion: v1\nkind: List\nitems: 5', '3:8: items must be a list'],
    ['kind: [x', '1:9: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ]
  for (const [text, problem] of rows) t.strictSame(shown(text), [problem], text)
})

t.test('one that is malformed hides none of the others in its List', async (t) => {
  const service = (name: string, ports: string) =>
    `- {apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {ports: ${ports}}}\n`
  const text = `apiVersion: v1\nkind: List\nitems:\n${service('a', '80')}- 5\n- null\n${service('b', '[]')}${service('c', '[{port: "80"}]')}`
  t.strictSame(shown(text), [
    '4:70: spec.ports must be a list',
    '5:3: the object must be an object',
    '6:3: the object must be an object',
    '8:78: spec.ports[0].port must be a number',
    'Service shop/b items.3',
  ])
})

t.test('a List full of malformed objects takes no time', async (t) => {
  const usage = process.cpuUsage()
  t.equal(found(`{kind: List, items: [${'5,'.repeat(20_000)}]}`).unreadable.length, 20_000)
  t.ok(process.cpuUsage(usage).user < 10e6)
})

t.test('who checks a template is told to check what it renders', async (t) => {
  const [told = ''] = shown('apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Release.Name }}\n')
  t.match(told, /^4:10: .*: is it a template\? Check what it renders, as in helm template CHART \| meshvip check -$/)
  t.match(shown('{{- if .Values.enabled }}\nkind: Service\n{{- end }}\n')[0], 'is it a template?')
})
