import { equal } from 'node:assert/strict'
import type { V1LabelSelector } from '@kubernetes/client-node'
import fc from 'fast-check'
import t from 'tap'
import { isInjected } from '../../src/istio/injection.ts'
import { probeLabels } from '../../src/registration/proof.ts'
import { webhookConfigurations } from '../../src/registration/webhook-configurations.ts'

const registration = {
  endpoint: { service: { namespace: 'meshvip', name: 'meshvip', port: 443 } },
  caBundle: 'a certificate',
  clusterDomain: 'example.org',
  ownNamespace: 'meshvip',
}

const probe = 'probe.meshvip.dev'

const { mutating, validating } = webhookConfigurations(registration)
const everything = [...(mutating.webhooks ?? []), ...(validating.webhooks ?? [])]
/** Those that ask us what to do. */
const all = everything.filter(({ name }) => name !== probe)

/** Kubernetes' own reading of matchExpressions. */
const selects = (selector: V1LabelSelector | undefined, labels: Record<string, string>): boolean =>
  (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key]
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value)
      case 'NotIn':
        return value === undefined || !values.includes(value)
      case 'Exists':
        return value !== undefined
      case 'DoesNotExist':
        return value === undefined
      default:
        throw new Error(`no such operator: ${operator}`)
    }
  })

const namespaceLabels = fc.record(
  {
    'kubernetes.io/metadata.name': fc.constantFrom('shop', 'kube-system', 'istio-system', 'meshvip', 'default'),
    'istio-injection': fc.constantFrom('enabled', 'disabled', 'Enabled', ''),
    'istio.io/rev': fc.constantFrom('canary', 'default', ''),
  },
  { requiredKeys: ['kubernetes.io/metadata.name'] },
)

await t.test('of each group exactly one webhook is asked, by whether Istio injects the namespace', async () => {
  const asked = (labels: Record<string, string>, pattern: RegExp): string[] =>
    all
      .filter(({ name, namespaceSelector }) => pattern.test(name) && selects(namespaceSelector, labels))
      .map(({ name }) => name)
  fc.assert(
    fc.property(namespaceLabels, (labels) => {
      const never = ['kube-system', 'istio-system', 'meshvip'].includes(labels['kubernetes.io/metadata.name'])
      const injected = isInjected(new Map(Object.entries(labels)))
      const expected = (when: boolean, count = 1) => (when && !never ? count : 0)
      equal(asked(labels, /^virtual-hosts/).length, expected(injected, 2), 'mutating and validating')
      equal(asked(labels, /^services/).length, expected(injected))
      equal(asked(labels, /^virtual-services/).length, expected(!injected))
      equal(asked(labels, /^deletions(-by-revision)?\./).length, expected(injected))
      equal(asked(labels, /^deletions-by-label/).length, expected(true))
      equal(asked(labels, /^addresses/).length, expected(true, 2), 'mutating and validating')
    }),
    { numRuns: 200 },
  )
})

t.strictSame(
  (validating.webhooks ?? []).map(({ name, failurePolicy }) => `${name} ${failurePolicy}`),
  [
    'virtual-hosts.meshvip.dev Fail',
    'virtual-hosts-by-revision.meshvip.dev Fail',
    'addresses.meshvip.dev Fail',
    'services.meshvip.dev Ignore',
    'services-by-revision.meshvip.dev Ignore',
    'virtual-services-elsewhere.meshvip.dev Ignore',
    'virtual-services-uninjected.meshvip.dev Ignore',
    'deletions.meshvip.dev Ignore',
    'deletions-by-revision.meshvip.dev Ignore',
    'deletions-by-label.meshvip.dev Ignore',
    'probe.meshvip.dev Fail',
  ],
  'validation fails closed only where it refuses',
)

t.strictSame(
  all.flatMap(({ name, rules = [] }) =>
    rules.flatMap(({ operations = [], resources = [] }) =>
      operations.includes('DELETE') ? [`${name} ${resources} ${operations}`] : [],
    ),
  ),
  ['deletions', 'deletions-by-revision', 'deletions-by-label'].map((name) => `${name}.meshvip.dev services DELETE`),
  'of deletions only those of Services are told, and only where it fails open',
)

t.ok(
  (mutating.webhooks ?? []).every(
    ({ failurePolicy, sideEffects, reinvocationPolicy }) =>
      failurePolicy === 'Ignore' && sideEffects === 'NoneOnDryRun' && reinvocationPolicy === 'IfNeeded',
  ),
  'mutation fails open, leaves nothing in a dry run, and may be asked again',
)

t.ok((validating.webhooks ?? []).every(({ sideEffects }) => sideEffects === 'None'))

await t.test('every webhook', async (t) => {
  for (const webhook of all) {
    const { name, clientConfig, matchPolicy, timeoutSeconds, admissionReviewVersions, matchConditions, rules } = webhook
    t.match(name, /^[a-z-]+\.meshvip\.dev$/)
    t.equal(clientConfig.caBundle, Buffer.from('a certificate').toString('base64'))
    t.equal(clientConfig.service?.name, 'meshvip')
    t.equal(matchPolicy, 'Equivalent')
    t.ok(timeoutSeconds !== undefined && timeoutSeconds <= 10, 'leaves time for the rest of the request')
    t.strictSame(admissionReviewVersions, ['v1'])
    const deletes = rules?.every(({ operations }) => operations?.includes('DELETE'))
    const object = deletes ? 'oldObject' : 'object'
    t.equal(
      matchConditions?.[0]?.expression,
      `!has(${object}.metadata.deletionTimestamp)`,
      'never holds up a deletion, and hears of none twice',
    )
  }
})

t.match(JSON.stringify(validating), "endsWith('.svc.example.org')", "the cluster's domain is the configured one")

await t.test('the way to us is tried by a hop that concerns nothing but a Service that nobody needs', (t) => {
  const [hop] = everything.filter(({ name }) => name === probe)
  t.strictSame(hop, {
    name: probe,
    clientConfig: {
      service: { namespace: 'meshvip', name: 'meshvip', port: 443, path: '/probe' },
      caBundle: all[0]?.clientConfig.caBundle,
    },
    rules: [
      { apiGroups: [''], apiVersions: ['v1'], resources: ['services'], operations: ['CREATE'], scope: 'Namespaced' },
    ],
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'meshvip' } },
    objectSelector: { matchLabels: probeLabels(registration) },
    matchPolicy: 'Equivalent',
    failurePolicy: 'Fail',
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    timeoutSeconds: 5,
  })
  t.end()
})

await t.test('where it is to fail open, all does but that hop, and nothing else is another', (t) => {
  const open = webhookConfigurations({ ...registration, failOpen: true })
  for (const [configuration, closed] of [
    [open.mutating, mutating],
    [open.validating, validating],
  ] as const) {
    const expected = closed.webhooks?.map((hop) => (hop.name === probe ? hop : { ...hop, failurePolicy: 'Ignore' }))
    t.strictSame(configuration, { ...closed, webhooks: expected })
  }
  t.strictSame(webhookConfigurations({ ...registration, failOpen: false }), { mutating, validating })
  t.end()
})

await t.test('outside a cluster the API server finds us by URL, and no namespace is ours', async (t) => {
  const { mutating, validating } = webhookConfigurations({
    endpoint: { url: 'https://127.0.0.1:8443' },
    caBundle: '',
    clusterDomain: 'cluster.local',
  })
  t.notOk(
    validating.webhooks?.some(({ name }) => name === probe),
    'there is no place for a probe',
  )
  t.equal(mutating.webhooks?.[0]?.clientConfig.url, 'https://127.0.0.1:8443/mutate')
  t.equal(validating.webhooks?.[0]?.clientConfig.url, 'https://127.0.0.1:8443/validate')
  t.ok(
    selects(validating.webhooks?.[0]?.namespaceSelector, {
      'istio-injection': 'enabled',
      'kubernetes.io/metadata.name': 'meshvip',
    }),
  )
})
