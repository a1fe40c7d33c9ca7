/* The wheel of 30: what a sieve needs to know of the numbers that 2, 3 and 5 do not divide.

   Bit j of byte b stands for the number 30 * b + r(j), where r(j) is wheel_residue[j]. A prime
   p = 30 * a + r(c) meets its multiples p * q at q = 30 * t + r(j): c is the class of p and j the phase of q.
   The tables are constant so that the compiler can fold them where class and phase are known. */

#ifndef PARALLEL_DECO_WHEEL_H
#define PARALLEL_DECO_WHEEL_H

#include <stdint.h>

static const uint8_t wheel_residue[8] = {1, 7, 11, 13, 17, 19, 23, 29};

/* From the residue of a phase to that of the next one. */
static const uint8_t wheel_gap[8] = {6, 4, 2, 4, 2, 4, 6, 2};

/* From any residue to the phase of the first residue that is not below it. */
static const uint8_t wheel_phase[30] = {0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4,
                                        4, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7};

/* [c][j]: all bits but that of the residue r(c) * r(j) % 30. */
static const uint8_t wheel_mask[8][8] = {
    {0xfe, 0xfd, 0xfb, 0xf7, 0xef, 0xdf, 0xbf, 0x7f}, {0xfd, 0xdf, 0xef, 0xfe, 0x7f, 0xf7, 0xfb, 0xbf},
    {0xfb, 0xef, 0xfe, 0xbf, 0xfd, 0x7f, 0xf7, 0xdf}, {0xf7, 0xfe, 0xbf, 0xdf, 0xfb, 0xfd, 0x7f, 0xef},
    {0xef, 0x7f, 0xfd, 0xfb, 0xdf, 0xbf, 0xfe, 0xf7}, {0xdf, 0xf7, 0x7f, 0xfd, 0xbf, 0xfe, 0xef, 0xfb},
    {0xbf, 0xfb, 0xf7, 0x7f, 0xfe, 0xef, 0xdf, 0xfd}, {0x7f, 0xbf, 0xdf, 0xef, 0xf7, 0xfb, 0xfd, 0xfe},
};

/* [c][j]: bytes from the multiple of phase j to the next one, less a * wheel_gap[j]:
   (r(c) * r(j) % 30 + r(c) * wheel_gap[j]) / 30. */
static const uint8_t wheel_carry[8][8] = {
    {0, 0, 0, 0, 0, 0, 0, 1}, {1, 1, 1, 0, 1, 1, 1, 1}, {2, 2, 0, 2, 0, 2, 2, 1}, {3, 1, 1, 2, 1, 1, 3, 1},
    {3, 3, 1, 2, 1, 3, 3, 1}, {4, 2, 2, 2, 2, 2, 4, 1}, {5, 3, 1, 4, 1, 3, 5, 1}, {6, 4, 2, 4, 2, 4, 6, 1},
};

/* [c][j]: bytes from the multiple of phase 0 to that of phase j, less a * (r(j) - 1): r(c) * r(j) / 30. */
static const uint8_t wheel_offset[8][8] = {
    {0, 0, 0, 0, 0, 0, 0, 0},    {0, 1, 2, 3, 3, 4, 5, 6},     {0, 2, 4, 4, 6, 6, 8, 10},
    {0, 3, 4, 5, 7, 8, 9, 12},   {0, 3, 6, 7, 9, 10, 13, 16},  {0, 4, 6, 8, 10, 12, 14, 18},
    {0, 5, 8, 9, 13, 14, 17, 22}, {0, 6, 10, 12, 16, 18, 22, 28},
};

#endif
