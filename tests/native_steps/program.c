// Code of many shapes, short enough to be run instruction by instruction.

#include <alloca.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

// Keeps six registers, and returns early without having kept any.
__attribute__((noinline)) uint64_t many_registers(const uint32_t *from, int count, uint64_t seed) {
	if (count == 0)
		return seed;
	uint64_t a = seed, b = a * 3, c = b * 5, d = c * 7, e = d * 11, f = e * 13;
	for (int i = 0; i < count; i++) {
		uint64_t inner = many_registers(from, i < 2 ? i : 0, a ^ from[i]);
		a += b ^ inner, b += c ^ a, c += d ^ b, d += e ^ c, e += f ^ d, f += a ^ e;
	}
	return a ^ b ^ c ^ d ^ e ^ f;
}

// A frame whose size only the frame pointer knows.
__attribute__((noinline)) uint64_t variable_frame(int size) {
	volatile unsigned char *space = alloca(size);
	uint64_t sum = 0;
	for (int i = 0; i < size; i++)
		space[i] = i;
	for (int i = 0; i < size; i += 7)
		sum += space[i] + (size > 32 ? variable_frame(size / 4) : 0);
	return sum;
}

// Ends with a jump into another function.
__attribute__((noinline)) uint64_t tail_call(uint64_t depth, uint64_t sum) {
	char number[24];
	snprintf(number, sizeof number, "%llu", (unsigned long long)depth);
	sum += strtoull(number, NULL, 10) + strlen(number);
	return depth == 0 ? sum : tail_call(depth - 1, sum);
}

int main(void) {
	uint32_t numbers[48];
	uint64_t sum = 1;
	for (int i = 0; i < 48; i++) {
		sum = sum * 6364136223846793005u + 1442695040888963407u;
		numbers[i] = sum >> 32;
	}
	qsort(numbers, 48, sizeof numbers[0], compare);
	sum ^= many_registers(numbers, 12, sum) ^ variable_frame(100) ^ tail_call(8, sum);
	char *kept[16];
	for (int i = 0; i < 16; i++) {
		kept[i] = malloc(40 << i % 10);
		memset(kept[i], i, 40 << i % 10);
	}
	for (int i = 0; i < 16; i++)
		free(kept[i * 5 % 16]);
	char text[64];
	snprintf(text, sizeof text, "%g %s %llx", (double)(sum >> 12) / 3, "steps", (unsigned long long)sum);
	puts(text);
	return strtod(text, NULL) < 0;
}
