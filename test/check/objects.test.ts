import t from 'tap'
import { documentsOf } from '../../src/check/documents.ts'
import { objectsOf } from '../../src/check/objects.ts'

const found = (text: string) => {
  const [document] = [...documentsOf({ name: 'a.yaml', text })]
  return objectsOf(document as NonNullable<typeof document>, 'shop')
}

const shown = (text: string) => {
  const all = found(text)
  return [
    ...all.objects.map(
      ({ known, path }) => `${known.kind} ${known.object.namespace}/${known.object.name} ${path.join('.')}`,
    ),
    ...all.nearMisses.map(({ problem, fix, path }) => `${problem}: ${fix} ${path.join('.')}`),
    ...all.unreadable.map(({ line, column, problem }) => `${line}:${column} ${problem}`),
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
    ['what controllers make', 'apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}', []],
    ['a claim', 'apiVersion: networking.k8s.io/v1\nkind: IPAddress\nmetadata: {name: 1.2.3.4}', []],
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

t.test('what has not the shape of its kind is told where that is, and hides nothing else', async (t) => {
  const service = (more: string) => `apiVersion: v1\nkind: Service\nmetadata: {name: a}\n${more}`
  const rows: [story: string, text: string, expected: string[]][] = [
    ['a field', service('spec: {ports: 80}'), ['4:15 spec.ports must be a list']],
    ['a text of an item', service('spec:\n  externalIPs: [a, 1]'), ['5:20 spec.externalIPs[1] must be a string']],
    [
      'a label with dots, which YAML takes for true',
      'apiVersion: v1\nkind: Service\nmetadata:\n  labels:\n    app.example.com/on: on',
      ['5:25 metadata.labels[app.example.com/on] must be a string'],
    ],
    ['a list', '- a\n- b', ['1:1 the object must be an object']],
    ['no YAML', 'kind: [x', ['1:9 Flow sequence in block collection must be sufficiently indented and end with a ]']],
    ['a List of no list', 'kind: List\nitems: a', ['2:8 items must be a list']],
    [
      'some items of a List',
      [
        'apiVersion: v1',
        'kind: List',
        'items:',
        '  - null',
        '  - {apiVersion: v1, kind: Service, metadata: {name: a}}',
        '  - {apiVersion: v1, kind: Service, metadata: {name: 5}}',
        '  - {apiVersion: v1, kind: Service, metadata: {name: b}}',
      ].join('\n'),
      [
        'Service shop/a items.1',
        'Service shop/b items.3',
        '4:5 the object must be an object',
        '6:54 metadata.name must be a string',
      ],
    ],
  ]
  for (const [story, text, expected] of rows) t.strictSame(shown(text), expected, story)
})
