import { KubeConfig } from '@kubernetes/client-node'

export type ClusterAccess = { server: string; ca?: string; token?: string }

/** The text of a kubeconfig. Without a CA the server is not verified, and may speak plain HTTP. */
export const kubeconfig = ({ server, ca, token = 'a-token' }: ClusterAccess): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    clusters: [
      {
        name: 'test',
        cluster: {
          server,
          ...(ca === undefined
            ? { 'insecure-skip-tls-verify': true }
            : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
        },
      },
    ],
    users: [{ name: 'test', user: { token } }],
  })

export const kubeConfigOf = (access: ClusterAccess): KubeConfig => {
  const config = new KubeConfig()
  config.loadFromString(kubeconfig(access))
  return config
}
