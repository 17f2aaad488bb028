import { isDeepStrictEqual } from 'node:util'
import { Fields, MalformedObject } from '../api/fields.ts'
import { type KnownObject, kinds } from '../api/kinds.ts'
import type { NamespacedName } from '../api/metadata.ts'
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
  /** A deletion: always allowed. */
  | { is: 'deletion'; kind: Subject['kind']; name: NamespacedName }
  /** Nothing to judge: a subresource, an object that is being deleted, or one in which nothing changed that a rule reads. */
  | { is: 'unseen'; object: KnownObject | undefined }
  /** A kind of object that is none of ours. */
  | { is: 'foreign' }
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

const parseBefore = <T>(parse: (object: unknown) => T, raw: unknown): T | undefined => {
  if (raw === undefined || raw === null) return undefined
  try {
    return parse(raw)
  } catch (error) {
    // An object from before its schema was as it is now: there is nothing to compare with.
    if (error instanceof MalformedObject) return undefined
    throw error
  }
}

const isBeingDeleted = (object: unknown): boolean => new Fields(object).object('metadata').has('deletionTimestamp')

/** Reads what a request is about. */
export const readSubject = (request: AdmissionRequest): Reading => {
  const kind = kindOf(request)
  if (kind === undefined) return { is: 'foreign' }
  if (request.operation === 'DELETE') {
    return { is: 'deletion', kind, name: { namespace: request.namespace ?? '', name: request.name ?? '' } }
  }
  if (request.subResource || request.operation === 'CONNECT') return { is: 'unseen', object: undefined }
  const read = <T extends Service | VirtualService>(parse: (object: unknown) => T) => {
    const before = parseBefore(parse, request.oldObject)
    return {
      object: identified(parse(request.object), request),
      before: before === undefined ? undefined : identified(before, request),
    }
  }
  try {
    if (isBeingDeleted(request.object)) return { is: 'unseen', object: undefined }
    const subject: Subject =
      kind === 'Service' ? { kind, ...read(kinds.Service.parse) } : { kind, ...read(kinds.VirtualService.parse) }
    return isDeepStrictEqual(subject.object, subject.before)
      ? { is: 'unseen', object: subject }
      : { is: 'subject', subject }
  } catch (error) {
    if (!(error instanceof MalformedObject)) throw error
    return { is: 'malformed', problem: error.message }
  }
}
