import type { makeServingCertificate } from './self-made.ts'

/** Makes a serving certificate. What it takes is only loaded where one is made: it is not little. */
export const makeCertificate: typeof makeServingCertificate = async (...asked) => {
  const selfMade = await import('./self-made.ts')
  return selfMade.makeServingCertificate(...asked)
}
