import { isDeepStrictEqual } from 'node:util'
import { Fields, MalformedObject } from '../api/fields.ts'
import { kinds } from '../api/kinds.ts'
import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import type { AdmissionRequest } from './review.ts'

/** The object of a request that rules have something to say about, and the one that it replaces. */
export type Subject =
  | { kind: 'Service'; object: Service; before: Service | undefined }
  | { kind: 'VirtualService'; object: VirtualService; before: VirtualService | undefined }

/** What becomes of a request before any rule is asked. */
export type Reading =
  | { is: 'subject'; subject: Subject }
  /** A deletion: always allowed. `service` is the one that is deleted, where there may be something to say of that. */
  | { is: 'deletion'; kind: Subject['kind']; name: NamespacedName; service: Service | undefined }
  /** Nothing to judge: a subresource, an object that is being deleted, or one in which nothing changed that a rule reads. */
  | { is: 'unseen' }
  /** A kind of object that is none of ours. */
  | { is: 'unhandled' }
  /** An object that is not as its API defines it. */
  | { is: 'malformed'; problem: string }

const kindOf = ({ kind }: AdmissionRequest): Subject['kind'] | undefined =>
  (['Service', 'VirtualService'] as const).find((name) => name === kind.kind && kinds[name].group === kind.group)

/** The object as its request identifies it: in a mutating review its own metadata may lack namespace and name. */
const identified = <T extends NamespacedName>(object: T, { namespace, name }: AdmissionRequest): T => ({
  ...object,
  namespace: namespace || object.namespace,
  name: name || object.name,
})

/** What an object is read as, or what is wrong with it. */
export const tryParse = <T>(parse: (object: unknown) => T, raw: unknown): { object: T } | { problem: string } => {
  try {
    return { object: parse(raw) }
  } catch (error) {
    if (!(error instanceof MalformedObject)) throw error
    return { problem: error.message }
  }
}

const isBeingDeleted = (object: unknown): boolean => new Fields(object).object('metadata').has('deletionTimestamp')

const readAs = <T extends Service | VirtualService>(
  kind: { parse: (object: unknown) => T },
  request: AdmissionRequest,
  subject: (object: T, before: T | undefined) => Subject,
): Reading => {
  const deleting = tryParse(isBeingDeleted, request.object)
  if ('object' in deleting && deleting.object) return { is: 'unseen' }
  const now = tryParse(kind.parse, request.object)
  const old = request.oldObject == null ? undefined : tryParse(kind.parse, request.oldObject)
  if ('problem' in now) {
    // What was wrong before must not hold up a change of something else.
    const asBefore = old !== undefined && 'problem' in old && old.problem === now.problem
    return asBefore ? { is: 'unseen' } : { is: 'malformed', problem: now.problem }
  }
  // With what could not be read there is nothing to compare.
  const before = old !== undefined && 'object' in old ? identified(old.object, request) : undefined
  const object = identified(now.object, request)
  return isDeepStrictEqual(object, before) ? { is: 'unseen' } : { is: 'subject', subject: subject(object, before) }
}

/** The Service that a request deletes; undefined where it cannot be read, or is being deleted already. */
const readDeleted = (request: AdmissionRequest): Service | undefined => {
  const { parse } = kinds.Service
  const old = tryParse((raw) => (isBeingDeleted(raw) ? undefined : parse(raw)), request.oldObject)
  return 'object' in old && old.object !== undefined ? identified(old.object, request) : undefined
}

/** Reads what a request is about. */
export const readSubject = (request: AdmissionRequest): Reading => {
  const kind = kindOf(request)
  if (kind === undefined) return { is: 'unhandled' }
  if (request.operation === 'DELETE') {
    const name = { namespace: request.namespace ?? '', name: request.name ?? '' }
    return { is: 'deletion', kind, name, service: kind === 'Service' ? readDeleted(request) : undefined }
  }
  if (request.subResource || request.operation === 'CONNECT') return { is: 'unseen' }
  return kind === 'Service'
    ? readAs(kinds.Service, request, (object, before) => ({ kind, object, before }))
    : readAs(kinds.VirtualService, request, (object, before) => ({ kind, object, before }))
}

/** The object of a request by its name, as far as it has one. */
export const nameOf = ({ namespace, name }: AdmissionRequest): string =>
  formatName({ namespace: namespace ?? '', name: name ?? '' })
