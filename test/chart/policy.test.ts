import { submit, until } from '../e2e/cluster.ts'
import { chartFolder, namespace, testChartOnControlPlane } from './chart.ts'
import { asOurs, registration } from './leader.ts'

const managedBy = 'ipaddress.kubernetes.io/managed-by'

const ipAddress = (address: string, manager?: string) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IPAddress',
  metadata: { name: address, labels: manager === undefined ? {} : { [managedBy]: manager } },
  spec: { parentRef: { resource: 'services', namespace: 'default', name: 'orders' } },
})

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'probe', namespace },
  spec: { ports: [{ port: 8080 }] },
}

const secret = (name: string, type: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace, annotations: { 'kubernetes.io/service-account.name': 'meshvip' } },
  type,
})

const lease = (name: string) => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace } })

const webhooksFor = (apiGroups: string[], resources: string[]) => {
  const { validating } = registration()
  return {
    ...validating,
    webhooks: validating.webhooks?.map((webhook) => ({
      ...webhook,
      rules: [{ apiGroups, resources, apiVersions: ['v1'], operations: ['CREATE'] }],
    })),
  }
}

const withFinalizer = ({ metadata, ...rest }: { metadata?: object }) => ({
  ...rest,
  metadata: { ...metadata, finalizers: ['meshvip.dev/stay'] },
})

await testChartOnControlPlane('what RBAC cannot say, a policy does', async (t, { helm }, cluster) => {
  const install = ['install', 'meshvip', chartFolder, '-n', namespace, '--create-namespace']
  const { code, stderr } = await helm('helm4', install, {}, cluster.kubeconfig)
  t.equal(code, 0, 'installed', { stderr })
  const made: [address: string, manager?: string][] = [
    ['240.240.0.1', 'meshvip.dev'],
    ['240.240.0.2'],
    ['240.240.0.3', 'ipallocator.k8s.io'],
    ['240.240.0.4', 'ipallocator.k8s.io'],
  ]
  for (const one of made) t.match(await submit(cluster, ['create'], ipAddress(...one)), { code: 0 }, `${one}: by admin`)

  const ours = asOurs(cluster)
  const create = (manifest: object, ...more: string[]) => submit(ours, ['create', ...more], manifest)
  const apply = (manifest: object) => submit(ours, ['apply', '--server-side', '--force-conflicts'], manifest)
  const patch = (address: string, manager: string | null) => {
    const change = JSON.stringify({ metadata: { labels: { [managedBy]: manager } } })
    return ours.kubectl(['patch', 'ipaddress', address, '--type=merge', '-p', change])
  }
  const remove = (address: string) => ours.kubectl(['delete', 'ipaddress', address])
  const isHeeded = async () =>
    (await create(ipAddress('240.240.0.9'), '--dry-run=server')).stderr.includes('meshvip may')
  t.ok(await until(isHeeded), 'the API server has heard of the policy')

  const refused: [what: string, () => ReturnType<typeof submit>, words: string][] = [
    ['a claim without our label', () => create(ipAddress('240.240.0.9')), 'may only write IPAddresses with the label'],
    ['a claim of another', () => create(ipAddress('240.240.0.9', 'x')), 'may only write IPAddresses with the label'],
    ['our label taken off', () => patch('240.240.0.1', null), 'may only write IPAddresses with the label'],
    ['the claim of another changed', () => patch('240.240.0.3', 'meshvip.dev'), 'may not change an IPAddress'],
    ['the claim of another deleted', () => remove('240.240.0.3'), 'may only delete IPAddresses with the label'],
    ['a claim of nobody deleted', () => remove('240.240.0.2'), 'may only delete IPAddresses with the label'],
    ['a Service', () => create(service), 'may only create Services as a dry run'],
    ['another Secret', () => create(secret('other', 'Opaque')), 'may only create the Opaque Secret'],
    [
      'a Secret that is filled with a token',
      () => create(secret('meshvip-tls', 'kubernetes.io/service-account-token')),
      'may only create the Opaque Secret',
    ],
    ['another Lease', () => create(lease('other')), 'may only create the Lease meshvip'],
    ['a webhook for Pods', () => apply(webhooksFor([''], ['pods'])), 'may only register webhooks for'],
    [
      'a webhook for Services and Secrets',
      () => apply(webhooksFor([''], ['services', 'secrets'])),
      'may only register',
    ],
    ['a webhook for everything', () => apply(webhooksFor(['*'], ['*'])), 'may only register webhooks for'],
    [
      'a webhook for Services of another group, too',
      () => apply(webhooksFor(['', 'apps'], ['services'])),
      'may only register webhooks',
    ],
    ['a finalizer that keeps the webhooks', () => apply(withFinalizer(registration().mutating)), 'may not keep'],
  ]
  for (const [what, attempt, words] of refused) {
    const { code, stderr } = await attempt()
    t.equal(code, 1, what)
    t.match(stderr, `ValidatingAdmissionPolicy 'meshvip' with binding 'meshvip' denied request: meshvip ${words}`, what)
  }

  for (const [kind, name] of [
    ['secret', 'meshvip-tls'],
    ['lease', 'meshvip'],
  ] as const) {
    t.match(await cluster.kubectl(['delete', kind, name, '-n', namespace]), { code: 0 }, `${kind} deleted by admin`)
  }
  const admitted: [what: string, () => ReturnType<typeof submit>][] = [
    ['a claim with our label', () => create(ipAddress('240.240.0.9', 'meshvip.dev'))],
    ['a claim of nobody labelled', () => patch('240.240.0.2', 'meshvip.dev')],
    ['our claim deleted', () => remove('240.240.0.1')],
    ['a Service as a dry run', () => create(service, '--dry-run=server')],
    ['our Secret again', () => create(secret('meshvip-tls', 'Opaque'))],
    ['our Lease again', () => create(lease('meshvip'))],
    ['our webhooks', () => apply(registration().validating)],
    ['our mutating webhooks', () => apply(registration().mutating)],
    ['all of it by somebody else', () => cluster.kubectl(['delete', 'ipaddress', '240.240.0.4'])],
  ]
  for (const [what, attempt] of admitted) {
    const { code, stderr } = await attempt()
    t.equal(code, 0, what, { stderr })
  }
})
