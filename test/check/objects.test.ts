import t from 'tap'
import { documentsOf } from '../../src/check/documents.ts'
import { objectsOf } from '../../src/check/objects.ts'

const found = (text: string) => {
  const [document] = [...documentsOf({ name: 'a.yaml', text })]
  return objectsOf(document as NonNullable<typeof document>, 'shop')
}

const shown = (text: string) => {
  const all = found(text)
  if ('problem' in all) return all.problem
  return [
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

t.test('what has not the shape of its kind is told', async (t) => {
  t.equal(shown('apiVersion: v1\nkind: Service\nspec: {ports: 80}'), 'spec.ports must be a list')
  t.equal(shown('- a\n- b'), 'the object must be an object')
  t.equal(shown('kind: [x'), 'Flow sequence in block collection must be sufficiently indented and end with a ]')
})
