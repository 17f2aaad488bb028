/** The values of the chart that are tried out, by what they stand for. */
export const valueSets: Record<string, object> = {
  'no values': {},
  'one replica and nothing besides': {
    replicas: 1,
    networkPolicy: { enabled: false },
    admissionPolicies: { limitServiceAccount: false },
    resources: { limits: null },
    priorityClassName: '',
  },
  'cert-manager with a CA of the chart': { certificates: { mode: 'cert-manager' } },
  'cert-manager with an issuer': {
    certificates: {
      mode: 'cert-manager',
      certManager: { issuerRef: { name: 'corporate', kind: 'ClusterIssuer', group: 'cert-manager.io' } },
    },
  },
  'a Secret of their own': { certificates: { mode: 'secret', secretName: 'corporate' } },
  everything: {
    replicas: 3,
    image: { repository: 'images/meshvip', digest: `sha256:${'0123456789abcdef'.repeat(4)}`, pullPolicy: 'Always' },
    imagePullSecrets: [{ name: 'images' }],
    config: {
      virtualHosts: 'labelled',
      pools: [{ cidr: '240.240.0.0/16', exclude: ['240.240.0.0/24'] }, { cidr: 'fd00:240::/64' }],
      rules: { 'service-port-80': 'warn', 'service-port-name': { other: 'off' } },
      exemptions: [{ rules: ['service-port-80'], reason: 'moves in spring', expires: '2027-04-01' }],
    },
    clientCA: { configMapName: 'api-server-ca', names: ['kube-apiserver', 'system:kube-apiserver'] },
    admissionPolicies: { staticRules: true },
    networkPolicy: {
      apiServer: [{ ipBlock: { cidr: '192.0.2.0/24' } }],
      metrics: [{ namespaceSelector: { matchLabels: { team: 'monitoring' } } }],
      egress: [{ to: [{ ipBlock: { cidr: '192.0.2.0/24' } }], ports: [{ port: 6443, protocol: 'TCP' }] }],
    },
    priorityClassName: 'mesh',
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    podLabels: { team: 'mesh' },
    podAnnotations: { 'example.com/note': 'true' },
    labels: { 'example.com/owner': 'mesh' },
    serviceMonitor: { enabled: true, interval: '15s', labels: { prometheus: 'main' } },
    prometheusRule: { enabled: true, labels: { prometheus: 'main' }, freeAddresses: 10 },
  },
}
