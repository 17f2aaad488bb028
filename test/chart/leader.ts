import type { Test } from 'tap'
import { webhookConfigurations } from '../../src/registration/webhook-configurations.ts'
import { openApi } from '../e2e/api.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { namespace } from './chart.ts'

/** The ServiceAccount of the chart. */
export const account = `system:serviceaccount:${namespace}:meshvip`

const configurations = '/apis/admissionregistration.k8s.io/v1'

const kinds = ['validatingwebhookconfiguration', 'mutatingwebhookconfiguration'] as const

/** Runs kubectl as our ServiceAccount. */
export const asOurs = ({ kubectl }: Pick<ControlPlane, 'kubectl'>): Pick<ControlPlane, 'kubectl'> => ({
  kubectl: (args, options) => kubectl(args, { ...options, as: account }),
})

/** The webhook configurations as a server would register itself that is reached by its Service. */
export const registration = () =>
  webhookConfigurations({
    endpoint: { service: { namespace, name: 'meshvip', port: 443 } },
    caBundle: 'a CA',
    clusterDomain: 'cluster.local',
    ownNamespace: namespace,
  })

/** Writes what the elected replica writes, by its rights and in its ways: as a field manager of its own. */
export const writeAsLeader = async (t: Test, controlPlane: ControlPlane, secret: string | undefined): Promise<void> => {
  const api = openApi(controlPlane, account)
  const { mutating, validating } = registration()
  const lease = { spec: { holderIdentity: 'meshvip-1', leaseDurationSeconds: 15 } }
  const written = [
    await api.send(
      'PATCH',
      `${configurations}/validatingwebhookconfigurations/meshvip?fieldManager=meshvip`,
      validating,
    ),
    await api.send('PATCH', `${configurations}/mutatingwebhookconfigurations/meshvip?fieldManager=meshvip`, mutating),
    await api.send('PATCH', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/meshvip`, lease),
  ]
  if (secret !== undefined) {
    const data = { 'tls.key': 'a2V5', 'tls.crt': 'Y3J0' }
    written.push(await api.send('PATCH', `/api/v1/namespaces/${namespace}/secrets/${secret}`, { data }))
  }
  t.strictSame(
    written.filter(({ status }) => status !== 200),
    [],
    'the leader may write what it has to',
  )
  await api.close()
}

/** What there is of what the leader wrote. */
export const writtenByLeader = async (
  { kubectl }: Pick<ControlPlane, 'kubectl'>,
  secret: string | undefined,
): Promise<Record<string, unknown>> => {
  const read = async (what: string, name: string, field: string): Promise<unknown> => {
    const { stdout, stderr } = await kubectl(['get', what, name, '-n', namespace, '-o', 'json'])
    if (stderr !== '') throw new Error(stderr)
    return JSON.parse(stdout)[field]
  }
  const [validating, mutating] = await Promise.all(kinds.map((kind) => read(kind, 'meshvip', 'webhooks')))
  return {
    validating,
    mutating,
    lease: await read('lease', 'meshvip', 'spec'),
    secret: secret === undefined ? undefined : await read('secret', secret, 'data'),
  }
}
