import type { AdmissionRequest } from '../../src/admission/review.ts'

type Named = { apiVersion: string; kind: string; metadata: Record<string, unknown> }

const resources: Readonly<Record<string, string>> = { Service: 'services', VirtualService: 'virtualservices' }

/** The request of a review for this object: its creation, unless `changes` say otherwise. */
export const requestFor = (object: Named, changes: Partial<AdmissionRequest> = {}): AdmissionRequest => {
  const [version = '', group = ''] = object.apiVersion.split('/').reverse()
  const { namespace, name } = object.metadata as { namespace?: string; name?: string }
  return {
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    kind: { group, version, kind: object.kind },
    resource: { group, version, resource: resources[object.kind] ?? object.kind.toLowerCase() },
    ...(namespace === undefined ? {} : { namespace }),
    name: name ?? '',
    operation: 'CREATE',
    userInfo: { username: 'jane' },
    object,
    dryRun: false,
    ...changes,
  }
}

export const updateOf = (oldObject: Named, object: Named, changes: Partial<AdmissionRequest> = {}): AdmissionRequest =>
  requestFor(object, { operation: 'UPDATE', oldObject, ...changes })

export const reviewOf = (request: unknown) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request,
})

/** The response of an answered review, as the API server reads it. */
export type ReviewResponse = {
  uid: string
  allowed: boolean
  status?: {
    status: string
    code: number
    reason: string
    message: string
    details: { causes: { reason: string; field: string; message: string }[] }
  }
  warnings?: string[]
  auditAnnotations?: Record<string, string>
  patchType?: string
  patch?: string
}

/** What is in the answer to a review, once it is sure that it is one. */
export const responseIn = (body: string): ReviewResponse => {
  const review = JSON.parse(body) as { apiVersion: string; kind: string; response: ReviewResponse }
  if (review.apiVersion !== 'admission.k8s.io/v1' || review.kind !== 'AdmissionReview') {
    throw new Error(`this is no AdmissionReview: ${body}`)
  }
  return review.response
}

/** The JSON patch of a response; undefined where it has none. */
export const patchIn = ({ patch, patchType }: ReviewResponse): unknown =>
  patch === undefined && patchType === undefined
    ? undefined
    : { patchType, operations: JSON.parse(Buffer.from(patch ?? '', 'base64').toString()) as unknown }
