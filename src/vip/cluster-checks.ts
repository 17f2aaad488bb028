import { looseRange, parseCidr } from '../api/address.ts'
import { Fields } from '../api/fields.ts'
import { readName } from '../api/metadata.ts'
import { virtualHostLabel } from '../api/service.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { UsageError } from '../usage-error.ts'
import { overlaps } from './pools.ts'

/** What matters of a pool here: its range in CIDR notation. */
type PoolRange = { cidr: string }

/** What is said of the cluster that we work for, once; nothing is held up by it. */
export type Advice = {
  level: 'info' | 'warn'
  message: string
  /** What failed, where that is why something is not known. */
  err?: unknown
}

const warning = (message: string, err?: unknown): Advice => ({ level: 'warn', message, err })

/** The ranges that ServiceCIDRs (networking.k8s.io/v1) cover, each by the name of its object. */
const rangesOf = (serviceCIDRs: readonly unknown[]): { name: string; cidr: string }[] =>
  serviceCIDRs.flatMap((object) => {
    const fields = new Fields(object)
    const { name } = readName(fields)
    return fields
      .object('spec')
      .strings('cidrs')
      .map((cidr) => ({ name, cidr }))
  })

const overlapping = <T extends { cidr: string }>({ cidr }: PoolRange, ranges: readonly T[]): T | undefined => {
  const pool = parseCidr(cidr)
  return ranges.find((other) => {
    const range = looseRange(other.cidr)
    return range !== undefined && overlaps(pool, range)
  })
}

/** Why these pools cannot be used beside these ServiceCIDRs, as the API server has them; undefined where they can. */
export const serviceCIDRConflict = (
  pools: readonly PoolRange[],
  serviceCIDRs: readonly unknown[],
): string | undefined => {
  const taken = rangesOf(serviceCIDRs)
  for (const pool of pools) {
    const found = overlapping(pool, taken)
    if (found !== undefined)
      return (
        `the pool ${pool.cidr} overlaps the ServiceCIDR ${found.name} (${found.cidr}), where Kubernetes itself hands out and ` +
        'repairs the addresses, so that one could have two owners: write `pools: [{ cidr: RANGE }]` in the file of --config, with ' +
        `a RANGE outside ${taken.map(({ cidr }) => cidr).join(', ')}`
      )
  }
  return undefined
}

const isForbidden = (error: unknown): error is ApiError => error instanceof ApiError && error.status === 403

/**
 * Throws UsageError where a pool overlaps a ServiceCIDR. Where these cannot be read that is no reason to refuse anything: it is said
 * instead.
 */
export const checkServiceCIDRs = async (
  client: KubernetesClient,
  pools: readonly PoolRange[],
  signal: AbortSignal,
): Promise<Advice[]> => {
  let conflict: string | undefined
  try {
    conflict = serviceCIDRConflict(pools, await client.list('ServiceCIDR', {}, signal))
  } catch (error) {
    const remedy = isForbidden(error)
      ? 'let us list servicecidrs of networking.k8s.io (a ClusterRole), and start again'
      : 'start again when the API server answers'
    return [warning(`whether a pool overlaps a ServiceCIDR could not be checked: ${remedy}`, error)]
  }
  if (conflict !== undefined) throw new UsageError(conflict)
  return []
}

/**
 * A Service that nobody minds but the admission plugin DenyServiceExternalIPs: it is no virtual host, takes no cluster IP, and its
 * external IP is the first address of a pool, which is nobody's.
 */
const probe = (namespace: string, { cidr }: PoolRange) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace, name: 'meshvip-external-ips', labels: { [virtualHostLabel]: 'false' } },
  spec: { clusterIP: 'None', externalIPs: [cidr.slice(0, cidr.indexOf('/'))] },
})

/** Kubernetes 1.36 plugin/pkg/admission/network/denyserviceexternalips/admission.go, Validate. */
const denial = 'Use of external IPs is denied by admission control'

/** What to say of the admission plugin DenyServiceExternalIPs where the API server refused the probe, and how. */
export const refusedProbeAdvice = (error: unknown, namespace: string): Advice => {
  if (isForbidden(error) && error.message.includes(denial))
    return warning(
      'the admission plugin DenyServiceExternalIPs is on, and refuses every Service that is given an address, each virtual host ' +
        'among them: take it out of --enable-admission-plugins of kube-apiserver; external IPs outside the pools are a matter of ' +
        'the rule service-vip-outside-pool',
    )
  // An admission webhook or a quota refuses with 403, too.
  const remedy =
    isForbidden(error) && error.message.includes('cannot create resource')
      ? `let us create services in the namespace ${namespace} (a Role; it is only ever a dry run)`
      : 'err says why the dry run of a Service with an external IP failed'
  return warning(
    'whether the admission plugin DenyServiceExternalIPs is on, which refuses every Service that is given an address, could not ' +
      `be checked: ${remedy}`,
    error,
  )
}

const denyServiceExternalIPsAdvice = async (
  client: KubernetesClient,
  namespace: string,
  pool: PoolRange,
  signal: AbortSignal,
): Promise<Advice[]> => {
  try {
    await client.create('Service', probe(namespace, pool), { dryRun: true }, signal)
    return []
  } catch (error) {
    return [refusedProbeAdvice(error, namespace)]
  }
}

/** What istiod gives to ServiceEntries unless its environment says otherwise (Istio 1.31 pilot/pkg/features/pilot.go). */
const istiodRanges = [
  { cidr: '240.240.0.0/16', variable: 'PILOT_IP_AUTOALLOCATE_IPV4_PREFIX' },
  { cidr: '2001:2::/48', variable: 'PILOT_IP_AUTOALLOCATE_IPV6_PREFIX' },
]

/** What to say of pools out of which istiod gives addresses, too. The default one is among these and fine, so it is no warning. */
export const istiodAdvice = (pools: readonly PoolRange[]): Advice[] =>
  pools.flatMap((pool) => {
    const found = overlapping(pool, istiodRanges)
    if (found === undefined) return []
    const message =
      `the pool ${pool.cidr} overlaps ${found.cidr}, out of which istiod gives addresses to ServiceEntries, from below: nothing ` +
      'has to be done, as we choose from the upper half of the pool, and nothing that a ServiceEntry has; to keep the two apart, ' +
      `set ${found.variable} for istiod, or choose another range in \`pools\``
    return [{ level: 'info', message }]
  })

/** What becomes of externalIPs from a minor version of Kubernetes 1 on, newest first (KEP-5707, the later ones as it plans them). */
const deprecation: readonly [minor: number, message: string][] = [
  [
    43,
    'kube-proxy does nothing for spec.externalIPs any more: virtual hosts go on as before, since sidecars do not need it, but ' +
      'other Services cannot be reached there; where one must be, make it one of type LoadBalancer',
  ],
  [
    40,
    'kube-proxy does nothing for spec.externalIPs unless its feature gate AllowServiceExternalIPs is on: virtual hosts go on as ' +
      'before, since sidecars do not need it, but other Services cannot be reached there; where one must be, turn the gate on, ' +
      'which there will be until 1.43, or make it one of type LoadBalancer',
  ],
  [
    36,
    'spec.externalIPs is deprecated: whoever applies a Service that has an address reads a warning, and nothing has to be done; ' +
      'from 1.40 on kube-proxy is to do nothing for it, on which virtual hosts do not rely, but other Services that have an ' +
      'external IP may',
  ],
]

/** What to say of externalIPs on an API server of this version, such as `v1.36.3`. */
export const deprecationAdvice = (version: string): Advice[] => {
  const minor = Number(/^v1\.(\d+)/.exec(version)?.[1])
  const [, message] = deprecation.find(([from]) => minor >= from) ?? []
  return message === undefined ? [] : [warning(`on Kubernetes ${version} ${message}`)]
}

const versionAdvice = async (client: KubernetesClient, signal: AbortSignal): Promise<Advice[]> => {
  try {
    return deprecationAdvice(await client.version(signal))
  } catch (error) {
    return [warning('whether this version of Kubernetes supports spec.externalIPs could not be checked', error)]
  }
}

/** Everything there is to say of the cluster that these pools, one at least, are used in. `namespace` is our own. */
export const clusterAdvice = async (
  client: KubernetesClient,
  namespace: string,
  pools: readonly PoolRange[],
  signal: AbortSignal,
): Promise<Advice[]> => {
  const found = await Promise.all([
    ...pools.slice(0, 1).map((pool) => denyServiceExternalIPsAdvice(client, namespace, pool, signal)),
    istiodAdvice(pools),
    versionAdvice(client, signal),
  ])
  return found.flat()
}
