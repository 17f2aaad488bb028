import t from 'tap'
import { parseDestinationRule } from '../../src/api/destination-rule.ts'
import { thrown } from '../support/thrown.ts'

const metadata = { namespace: 'shop', name: 'orders' }

t.test('a DestinationRule is read whole', async (t) => {
  const spec = {
    host: 'orders',
    subsets: [{ name: 'v1', labels: { version: 'v1' } }, {}],
    exportTo: ['.'],
    workloadSelector: { matchLabels: { app: 'orders' } },
  }
  t.strictSame(parseDestinationRule({ metadata: { ...metadata, creationTimestamp: '2026-01-02T03:04:05Z' }, spec }), {
    ...metadata,
    created: '2026-01-02T03:04:05Z',
    host: 'orders',
    subsets: ['v1', ''],
    exportTo: ['.'],
    workloadSelector: new Map([['app', 'orders']]),
  })
})

t.test('one without spec is for no host', async (t) => {
  t.strictSame(parseDestinationRule({ metadata }), {
    ...metadata,
    created: '',
    host: '',
    subsets: [],
    exportTo: [],
    workloadSelector: undefined,
  })
})

t.test('a malformed one is refused, with the field', async (t) => {
  t.match(
    thrown(() => parseDestinationRule({ metadata, spec: { subsets: [{ name: 1 }] } })),
    'MalformedObject: spec.subsets[0].name must be a string',
  )
})
