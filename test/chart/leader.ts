import type { Test } from 'tap'
import { webhookConfigurations } from '../../src/registration/webhook-configurations.ts'
import { submit } from '../e2e/cluster.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { namespace } from './chart.ts'

/** The ServiceAccount of the chart. */
export const account = `system:serviceaccount:${namespace}:meshvip`

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
  const { kubectl } = asOurs(controlPlane)
  const { mutating, validating } = registration()
  for (const configuration of [mutating, validating]) {
    const apply = ['apply', '--server-side', '--field-manager=meshvip']
    const { code, stderr } = await submit({ kubectl }, apply, configuration)
    t.equal(code, 0, `the leader writes the ${configuration.kind}`, { stderr })
  }
  const patch = async (what: string, name: string, change: object) => {
    const args = ['patch', what, name, '-n', namespace, '--type=merge', '--field-manager=meshvip', '-p']
    const { code, stderr } = await kubectl([...args, JSON.stringify(change)])
    t.equal(code, 0, `the leader writes the ${what}`, { stderr })
  }
  await patch('lease', 'meshvip', { spec: { holderIdentity: 'meshvip-1', leaseDurationSeconds: 15 } })
  if (secret !== undefined) await patch('secret', secret, { data: { 'tls.key': 'a2V5', 'tls.crt': 'Y3J0' } })
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
