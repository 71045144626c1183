// How far apart two colours look, also to people with a deficiency of colour vision.

export type Rgb = readonly [red: number, green: number, blue: number];
type Matrix = readonly [Rgb, Rgb, Rgb];
export type Vision = "normal" | "protanopia" | "deuteranopia" | "tritanopia";

/**
 * Complete deficiencies, on linear sRGB: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color
 * Vision Deficiency", IEEE TVCG 15(6), 2009, severity 1.0.
 */
export const VISIONS: Record<Vision, Matrix> = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

const XYZ: Matrix = [
  [0.4124564, 0.3575761, 0.1804375],
  [0.2126729, 0.7151522, 0.072175],
  [0.0193339, 0.119192, 0.9503041],
];
/** D65. */
const WHITE: Rgb = [0.95047, 1, 1.08883];

const dot = (a: Rgb, b: Rgb): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const times = (matrix: Matrix, color: Rgb): Rgb => [
  dot(matrix[0], color),
  dot(matrix[1], color),
  dot(matrix[2], color),
];

/** "#0b8577" as linear sRGB. */
export function linear(hex: string): Rgb {
  const part = (at: number) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [part(1), part(3), part(5)];
}

/** WCAG 2. */
export function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [dot(XYZ[1], linear(a)), dot(XYZ[1], linear(b))].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

function toLab(color: Rgb): Rgb {
  const clamped = color.map((value) => Math.min(1, Math.max(0, value))) as unknown as Rgb;
  const [x, y, z] = times(XYZ, clamped).map((value, index) => {
    const part = value / (WHITE[index] ?? 1);
    return part > 216 / 24_389 ? Math.cbrt(part) : ((24_389 / 27) * part + 16) / 116;
  }) as unknown as Rgb;
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const degrees = (radians: number): number => (radians * 180) / Math.PI;
const cos = (angle: number): number => Math.cos((angle * Math.PI) / 180);

/** CIEDE2000, as in Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula", Color Research and Application 30(1), 2005. */
export function ciede2000([l1, a1, b1]: Rgb, [l2, a2, b2]: Rgb): number {
  const seventh = (chroma: number) => Math.sqrt(chroma ** 7 / (chroma ** 7 + 25 ** 7));
  const g = 0.5 * (1 - seventh((Math.hypot(a1, b1) + Math.hypot(a2, b2)) / 2));
  const polar = (a: number, b: number): [number, number] => [
    Math.hypot(a * (1 + g), b),
    (degrees(Math.atan2(b, a * (1 + g))) + 360) % 360,
  ];
  const [c1, h1] = polar(a1, b1);
  const [c2, h2] = polar(a2, b2);
  const gray = c1 * c2 === 0;
  const turn = gray ? 0 : ((h2 - h1 + 540) % 360) - 180;
  const hue = 2 * Math.sqrt(c1 * c2) * Math.sin((turn * Math.PI) / 360);
  const meanHue = gray ? h1 + h2 : (h1 + turn / 2 + 360) % 360;
  const [l, c] = [(l1 + l2) / 2, (c1 + c2) / 2];
  const t =
    1 - 0.17 * cos(meanHue - 30) + 0.24 * cos(2 * meanHue) + 0.32 * cos(3 * meanHue + 6) - 0.2 * cos(4 * meanHue - 63);
  const lightness = (l2 - l1) / (1 + (0.015 * (l - 50) ** 2) / Math.sqrt(20 + (l - 50) ** 2));
  const chroma = (c2 - c1) / (1 + 0.045 * c);
  const turned = hue / (1 + 0.015 * c * t);
  const rotation = -2 * seventh(c) * Math.sin((60 * Math.PI * Math.exp(-(((meanHue - 275) / 25) ** 2))) / 180);
  return Math.sqrt(lightness ** 2 + chroma ** 2 + turned ** 2 + rotation * chroma * turned);
}

/** CIEDE2000 of two colours "#0b8577" for a kind of vision. */
export const difference = (a: string, b: string, vision: Vision): number =>
  ciede2000(toLab(times(VISIONS[vision], linear(a))), toLab(times(VISIONS[vision], linear(b))));
