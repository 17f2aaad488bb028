import { isHeadless, type Service } from '../api/service.ts'
import { virtualHostBy } from '../rules/virtual-host.ts'
import { allocate } from '../vip/allocator.ts'
import { inPool } from '../vip/pools.ts'
import type { Backend } from './backend.ts'
import { type Circumstances, judge } from './judgement.ts'
import { type AdmissionRequest, type Answer, allow, type PatchOperation } from './review.ts'
import { readSubject } from './subject.ts'
import { passForeign } from './validate.ts'

/** A DNS label, which is what a Service's name must be, has this many characters at most. */
const maxNameLength = 63

/**
 * A claim needs the name of its Service, and with `generateName` there is none yet. The uid of the request makes it one: the same
 * at a retry, another for each new request.
 */
const generateName = (object: unknown, uid: string): string | undefined => {
  const prefix = (object as { metadata?: { generateName?: unknown } } | undefined)?.metadata?.generateName
  if (typeof prefix !== 'string' || prefix === '') return undefined
  const suffix = uid
    .replace(/[^a-z0-9]/gi, '')
    .toLowerCase()
    .slice(0, 8)
  return prefix.slice(0, maxNameLength - suffix.length) + suffix
}

/** Whether the rules will refuse the Service whatever address it has: then it gets none, and no claim is left behind. */
const willBeRefused = async (
  service: Service,
  before: Service | undefined,
  request: AdmissionRequest,
  circumstances: Circumstances,
): Promise<boolean> => {
  const { outcomes } = await judge({ kind: 'Service', object: service, before }, request, false, circumstances)
  return outcomes.some(({ action, rule }) => action === 'deny' && rule !== 'service-vip-missing')
}

const mutateService = async (
  service: Service,
  before: Service | undefined,
  request: AdmissionRequest,
  backend: Backend,
  circumstances: Omit<Circumstances, 'cluster'>,
): Promise<Answer> => {
  const { policy, signal } = circumstances
  const { cluster, claims } = backend
  const dryRun = request.dryRun ?? false
  const named = service.name === '' ? generateName(request.object, request.uid) : service.name
  if (named === undefined) return allow()
  const own = { ...service, name: named }

  const picked = own.externalIPs.filter((address) => inPool(policy.pools, address))
  const wantsAddress =
    picked.length === 0 &&
    own.type === 'ClusterIP' &&
    !isHeadless(own) &&
    (await cluster.ask((view) => virtualHostBy(own, view, policy) !== undefined, signal))
  if (picked.length === 0 && !wantsAddress) return allow()
  if (await willBeRefused(own, before, request, { ...circumstances, cluster })) return allow()

  const name: PatchOperation[] = service.name === '' ? [{ op: 'add', path: '/metadata/name', value: named }] : []
  if (!wantsAddress) {
    // Whether each of them could be had, validation says.
    for (const address of picked) await claims.claim(address, own, { dryRun, signal })
    return allow({ patch: name })
  }
  const address = await allocate(own, before?.externalIPs ?? [], {
    cluster,
    claims,
    pools: policy.pools,
    dryRun,
    signal,
  })
  if (address === undefined) {
    const pools = policy.pools.map(({ cidr }) => cidr).join(', ')
    return allow({ warnings: [`no address is free in ${pools}: ask the owners of the cluster for a larger pool`] })
  }
  const externalIPs = [...own.externalIPs, address]
  return allow({
    patch: [...name, { op: 'add', path: '/spec/externalIPs', value: externalIPs }],
    auditAnnotations: { address },
  })
}

/**
 * Mutation: writes a free address into a virtual host that has none, and claims those that people picked. It only adds; refusing
 * is validation's. Rejects for our own trouble only.
 */
export const mutate = async (
  request: AdmissionRequest,
  backend: Backend,
  circumstances: Omit<Circumstances, 'cluster'>,
): Promise<Answer> => {
  const reading = readSubject(request)
  if (reading.is === 'foreign') return passForeign(request)
  // What cannot be read, validation refuses.
  if (reading.is !== 'subject' || reading.subject.kind !== 'Service') return allow()
  const { object, before } = reading.subject
  return mutateService(object, before, request, backend, circumstances)
}
