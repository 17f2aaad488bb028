import { isDeepStrictEqual } from 'node:util'
import { Fields } from '../api/fields.ts'
import { isLabelName } from '../api/metadata.ts'
import { canHaveAddress, type Service } from '../api/service.ts'
import { isDenied } from '../rules/judge.ts'
import { virtualHostBy } from '../rules/virtual-host.ts'
import { allocate } from '../vip/allocator.ts'
import { missingFamilies, ownAddresses } from '../vip/families.ts'
import { formatPools, inPool, poolsFor } from '../vip/pools.ts'
import type { Backend } from './backend.ts'
import { type Circumstances, judge } from './judgement.ts'
import { type AdmissionRequest, type Answer, allow, type PatchOperation } from './review.ts'
import { readSubject, tryParse } from './subject.ts'
import { passUnhandled } from './validate.ts'

/** A DNS label, which is what a Service's name must be, has this many characters at most. */
const maxNameLength = 63

/**
 * A claim needs the name of its Service, and with `generateName` there is none yet. The uid of the request makes it one: the same
 * at a retry, another for each new request.
 */
const generateName = (object: unknown, uid: string): string => {
  const prefix = new Fields(object).object('metadata').raw('generateName')
  if (typeof prefix !== 'string' || prefix === '') return ''
  const suffix = uid
    .replace(/[^a-z0-9]/gi, '')
    .toLowerCase()
    .slice(0, 8)
  return prefix.slice(0, maxNameLength - suffix.length) + suffix
}

/** What becomes of a Service in mutation. */
type Plan = 'nothing' | 'claim what it picked' | 'give it what it lacks' | 'take its address back'

/**
 * Whether `externalIPs` is what mutation wrote: then no field manager owns the field, since the API server notes owners before it
 * (apiserver pkg/endpoints/handlers/create.go). Where no managers are noted nobody can tell, and the field stays as it is.
 */
const isWrittenByUs = (object: unknown): boolean => {
  const owned = tryParse(
    (raw) =>
      new Fields(raw)
        .object('metadata')
        .list('managedFields', (entry) => entry.object('fieldsV1').object('f:spec').has('f:externalIPs')),
    object,
  )
  return 'object' in owned && owned.object.length > 0 && !owned.object.includes(true)
}

/**
 * What the rules will refuse whatever address it has, and what the API server will refuse, gets no address: no claim is left
 * behind for it.
 */
const plan = async (
  service: Service,
  before: Service | undefined,
  request: AdmissionRequest,
  circumstances: Circumstances,
): Promise<Plan> => {
  const { policy } = circumstances
  if (
    !isLabelName(service.name) ||
    !isLabelName(service.namespace) ||
    (service.ports.length === 0 && canHaveAddress(service))
  )
    return 'nothing'
  const hasPicked = ownAddresses(service.externalIPs, policy.pools).size > 0
  if (!hasPicked && !canHaveAddress(service)) return 'nothing'
  const verdict = await judge({ kind: 'Service', object: service, before }, request, 'mutation', circumstances)
  if (isDenied(verdict)) return 'nothing'
  if (verdict.isVirtualHost && canHaveAddress(service)) return 'give it what it lacks'
  if (!hasPicked) return 'nothing'
  const hadBeen =
    !verdict.isVirtualHost &&
    before !== undefined &&
    isDeepStrictEqual(service.externalIPs, before.externalIPs) &&
    (await circumstances.cluster.ask((view) => virtualHostBy(before, view, policy), circumstances.signal)) !== undefined
  return hadBeen && isWrittenByUs(request.object) ? 'take its address back' : 'claim what it picked'
}

/** An address for each family of which a virtual host lacks one, and a warning for each of which none is free. */
const giveAddresses = async (
  service: Service,
  before: Service | undefined,
  { cluster, claims, onAllocation }: Backend,
  { policy, signal }: Omit<Circumstances, 'cluster'>,
  dryRun: boolean,
): Promise<{ addresses: string[]; warnings: string[] }> => {
  const { pools } = policy
  const usable = await cluster.ask((view) => poolsFor(pools, service.namespace, view), signal)
  const addresses: string[] = []
  const warnings: string[] = []
  for (const family of missingFamilies(service, before, pools, usable)) {
    const started = performance.now()
    let conflicts = 0
    const onConflict = () => conflicts++
    const allocation = { cluster, claims, pools, dryRun, signal, onConflict }
    const address = await allocate(service, family, before?.externalIPs ?? [], allocation)
    const ofFamily = usable.filter((pool) => pool.family === family)
    onAllocation?.({ service, pools: ofFamily, address, dryRun, conflicts, milliseconds: performance.now() - started })
    if (address !== undefined) addresses.push(address)
    else
      warnings.push(`no address is free in ${formatPools(ofFamily)}: ask the owners of the cluster for a larger pool`)
  }
  return { addresses, warnings }
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
  const own = { ...service, name: service.name || generateName(request.object, request.uid) }
  const name: PatchOperation[] = service.name === '' ? [{ op: 'add', path: '/metadata/name', value: own.name }] : []

  // Whether they could be had, validation says.
  const claimPicked = async () => {
    for (const picked of ownAddresses(own.externalIPs, policy.pools).values())
      await claims.claim(picked, own, { dryRun, signal })
  }

  switch (await plan(own, before, request, { ...circumstances, cluster })) {
    case 'nothing':
      return allow()
    case 'claim what it picked':
      await claimPicked()
      return allow({ patch: name })
    case 'take its address back': {
      const kept = own.externalIPs.filter((address) => !inPool(policy.pools, address))
      const released = own.externalIPs.filter((address) => inPool(policy.pools, address))
      return allow({
        patch: [{ op: 'add', path: '/spec/externalIPs', value: kept }],
        auditAnnotations: { released: String(released) },
      })
    }
    case 'give it what it lacks': {
      await claimPicked()
      const given = await giveAddresses(own, before, backend, circumstances, dryRun)
      if (given.addresses.length === 0) return allow({ patch: name, warnings: given.warnings })
      const externalIPs = [...own.externalIPs, ...given.addresses]
      return allow({
        patch: [...name, { op: 'add', path: '/spec/externalIPs', value: externalIPs }],
        warnings: given.warnings,
        auditAnnotations: { address: String(given.addresses) },
      })
    }
  }
}

/**
 * Mutation: writes a free address into a virtual host that has none, claims those that people picked, and takes back what it once
 * wrote into a Service that is no virtual host any more. Refusing is validation's. Rejects for our own trouble only.
 */
export const mutate = async (
  request: AdmissionRequest,
  backend: Backend,
  circumstances: Omit<Circumstances, 'cluster'>,
): Promise<Answer> => {
  const reading = readSubject(request)
  if (reading.is === 'unhandled') return passUnhandled(request)
  // What cannot be read, validation refuses.
  if (reading.is !== 'subject' || reading.subject.kind !== 'Service') return allow()
  const { object, before } = reading.subject
  return mutateService(object, before, request, backend, circumstances)
}
