import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** `serviceClusterIPRange` is a CIDR, 10.97.0.0/16 where not given. `apiServerArgs` come last, so they override. */
export type ControlPlaneOptions = { serviceClusterIPRange?: string; apiServerArgs?: string[] }

export const etcdArgs = (dir: string, port: number, peerPort: number): string[] => [
  `--data-dir=${join(dir, 'etcd')}`,
  `--listen-client-urls=http://127.0.0.1:${port}`,
  `--advertise-client-urls=http://127.0.0.1:${port}`,
  `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
  '--unsafe-no-fsync=true',
  '--log-level=error',
]

/** The set that controller-runtime's envtest uses (v0.24.1 pkg/internal/testing/controlplane/apiserver.go), and an audit. */
export const apiServerArgs = (dir: string, port: number, etcdPort: number, options: ControlPlaneOptions): string[] => [
  `--etcd-servers=http://127.0.0.1:${etcdPort}`,
  `--cert-dir=${join(dir, 'certs')}`,
  '--bind-address=127.0.0.1',
  '--advertise-address=127.0.0.1',
  `--secure-port=${port}`,
  '--authorization-mode=RBAC',
  `--token-auth-file=${join(dir, 'tokens.csv')}`,
  `--service-cluster-ip-range=${options.serviceClusterIPRange ?? '10.97.0.0/16'}`,
  '--service-account-issuer=https://kubernetes.default.svc',
  `--service-account-key-file=${join(dir, 'sa.key')}`,
  `--service-account-signing-key-file=${join(dir, 'sa.key')}`,
  // No controller makes the default ServiceAccounts that this plugin insists on.
  '--disable-admission-plugins=ServiceAccount',
  `--audit-policy-file=${join(dir, 'audit-policy.json')}`,
  `--audit-log-path=${join(dir, 'audit.log')}`,
  ...(options.apiServerArgs ?? []),
]

const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    {
      level: 'Metadata',
      resources: [
        { group: '', resources: ['services'] },
        { group: 'networking.istio.io', resources: ['virtualservices'] },
        { group: 'networking.k8s.io', resources: ['ipaddresses'] },
      ],
    },
    { level: 'None' },
  ],
}

/** The files that the flags name: the key of ServiceAccount tokens, the admin's token and the audit policy. */
export const writeInputs = async (dir: string, token: string): Promise<void> => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  await writeFile(join(dir, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 })
  await writeToken(dir, token)
  await writeFile(join(dir, 'audit-policy.json'), JSON.stringify(AUDIT_POLICY))
}

/** The admin's token, which is the only one that the API server takes. It reads the file when it starts. */
export const writeToken = (dir: string, token: string): Promise<void> =>
  writeFile(join(dir, 'tokens.csv'), `${token},admin,admin-uid,"system:masters"\n`, { mode: 0o600 })

export const writeKubeconfig = async (path: string, port: number, ca: Buffer, token: string): Promise<void> => {
  const name = 'testbed'
  const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': ca.toString('base64') }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: 'default' } }],
    'current-context': name,
  }
  await writeFile(path, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 })
}
